/** What a reader may be told, checked. */

import { environment, trustingFetch } from "#platform";
import type { Patience } from "./bytes.js";
import type { Envelope } from "./envelope.js";
import { type LfsError, type LfsErrorCode, SettingError } from "./errors.js";
import type { BlobSource, RecordCoordinates, S3Options } from "./sources.js";

/** Milliseconds; a timer of more ends at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

export type OnMissing = "raise" | "skip" | "envelope";

/** What `onResolve` is told when an envelope has been dealt with. */
export interface Resolution {
  readonly envelope: Envelope;
  /**
   * `ok`; `closed`: by its reader before the end; `cancelled`: by the signal, or by leaving the loop of a batch;
   * `timeout`: by the signal of an `AbortSignal.timeout`; else the code of what went wrong: `blob-missing`, ...
   */
  readonly result: "ok" | "closed" | "cancelled" | "timeout" | LfsErrorCode | (string & {});
  /** Bytes received. */
  readonly size: number;
  /** From the start of the fetch to its end, the time that the caller took for reading included. */
  readonly seconds: number;
  /** GETs sent. */
  readonly tries: number;
  readonly error: LfsError | null;
  /** null where the caller gave none. */
  readonly record: RecordCoordinates | null;
}

export interface LfsReaderOptions extends S3Options {
  /** Where the blobs are, and what envelopes may point to unless `buckets` says otherwise. */
  readonly bucket?: string | undefined;
  /** Where blobs are read from. Default: S3, by `endpoint`, `region`, `pathStyle` and `credentials`. */
  readonly source?: BlobSource | undefined;
  /** Buckets that envelopes may point to. Default: `bucket`. */
  readonly buckets?: readonly string[] | undefined;
  /** Key prefixes that envelopes may point to. Default: `lfs/`. */
  readonly prefixes?: readonly string[] | undefined;
  /** Most bytes that a blob may have; 0: unlimited. Default: 256 MiB for whole values, unlimited for streams. */
  readonly maxSize?: number | undefined;
  /** What becomes of an envelope without its blob: an error, null, or the envelope's bytes. */
  readonly onMissing?: OnMissing | undefined;
  /** Called after each envelope. What it throws or rejects with is reported on the console, and goes no further. */
  readonly onResolve?: ((resolution: Resolution) => void | PromiseLike<void>) | undefined;
  /** Tries without progress. Default: 5. */
  readonly tries?: number | undefined;
  /** Milliseconds before the second try; they double with each, up to 5 s. Default: 200. */
  readonly pause?: number | undefined;
  /** Milliseconds after the last progress from which on no further try begins. Default 0: no limit. */
  readonly retryTime?: number | undefined;
  /** Milliseconds that the store may say nothing. Default: 60000. */
  readonly readTimeout?: number | undefined;
}

/** What is left of the options when they are known to be usable. */
export interface Settings {
  readonly buckets: readonly string[];
  readonly prefixes: readonly string[];
  readonly maxSize: number | undefined;
  readonly onMissing: OnMissing;
  readonly patience: Patience;
}

/** Throws SettingError for an option that cannot be used. */
export function checked(options: LfsReaderOptions): Settings {
  const { bucket, buckets, prefixes = ["lfs/"], maxSize, onMissing = "raise" } = options;
  const { tries = 5, pause = 200, retryTime = 0, readTimeout = 60_000 } = options;
  checkNames("prefixes", prefixes);
  checkNames("buckets", buckets ?? []);
  if (!["raise", "skip", "envelope"].includes(onMissing)) {
    throw new SettingError(`onMissing is ${JSON.stringify(onMissing)}, one of raise, skip, envelope is needed`);
  }
  checkNumber("maxSize", maxSize ?? 0, 0);
  checkNumber("tries", tries, 1);
  checkNumber("pause", pause, 0, LONGEST_TIMER);
  checkNumber("retryTime", retryTime, 0);
  checkNumber("readTimeout", readTimeout, 1, LONGEST_TIMER);
  checkEndpoint("endpoint", options.endpoint);
  return {
    buckets: buckets ?? (bucket ? [bucket] : []),
    prefixes: [...prefixes],
    maxSize,
    onMissing,
    patience: { tries, pause, retryTime, readTimeout },
  };
}

/** The options that the proxy's own variables give; those that `given` has win. Throws SettingError. */
export function fromVariables(
  given: LfsReaderOptions,
  variables: Readonly<Record<string, string | undefined>> = environment(),
): LfsReaderOptions {
  const { LFS_S3_BUCKET, LFS_S3_ENDPOINT, LFS_S3_REGION, LFS_S3_PATH_STYLE } = variables;
  const { AWS_REGION, AWS_DEFAULT_REGION } = variables;
  checkEndpoint("LFS_S3_ENDPOINT", LFS_S3_ENDPOINT);
  const wanted = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const found: LfsReaderOptions = {
    bucket: LFS_S3_BUCKET || "kafscale",
    endpoint: LFS_S3_ENDPOINT || undefined,
    region: LFS_S3_REGION || AWS_REGION || AWS_DEFAULT_REGION || undefined,
    pathStyle: parsedBoolean("LFS_S3_PATH_STYLE", LFS_S3_PATH_STYLE || "false"),
    ...wanted,
  };
  const authorities = ["LFS_S3_CA", "AWS_CA_BUNDLE"].find((name) => variables[name]);
  const ownWay = found.source ?? found.fetch ?? found.caFile;
  if (authorities === undefined || ownWay !== undefined || found.endpoint?.startsWith("http:")) {
    return found;
  }
  return { ...found, fetch: trustingFetch(authorities, variables[authorities] as string) };
}

export function checkNumber(name: string, value: number, least: number, most = Number.MAX_VALUE): void {
  if (!(typeof value === "number" && value >= least && value <= most)) {
    const range = most === Number.MAX_VALUE ? `of ${least} or more` : `from ${least} to ${most}`;
    throw new SettingError(`${name} is ${value}: a number ${range} is needed`);
  }
}

function checkNames(name: string, names: readonly string[]): void {
  if (!Array.isArray(names) || names.some((one) => typeof one !== "string")) {
    throw new SettingError(`${name} is ${JSON.stringify(names)}: an array of strings is needed`);
  }
}

function checkEndpoint(name: string, endpoint: string | undefined): void {
  if (!endpoint) {
    return;
  }
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const more = url && (url.pathname !== "/" || url.search || url.hash || url.username || url.password);
  if (!url || !/^https?:$/.test(url.protocol) || more) {
    throw new SettingError(
      `${name} is ${JSON.stringify(endpoint)}: an http or https URL without a path, query or user name is needed`,
    );
  }
}

function parsedBoolean(name: string, text: string): boolean {
  const value = text.trim().toLowerCase();
  if (["true", "1", "yes", "on"].includes(value)) {
    return true;
  }
  if (["false", "0", "no", "off"].includes(value)) {
    return false;
  }
  throw new SettingError(`${name} is ${JSON.stringify(text)}: true or false is needed`);
}
