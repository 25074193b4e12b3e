/**
 * Resolves record values: an envelope to the blob behind it, anything else to itself.
 *
 * What happens to an envelope, in this order: it is recognised; its content_length is checked against
 * `maxSize`, its bucket and key against what is allowed; then the blob is fetched, and verified on the way.
 */

import { environment } from "#platform";
import { checkPlace, checkSize } from "./allowed.js";
import { BlobBytes, type Patience } from "./bytes.js";
import { type Envelope, parseEnvelope } from "./envelope.js";
import { BlobMissingError, LfsError, SettingError, TooLargeError } from "./errors.js";
import { type BlobSource, type RecordCoordinates, type S3Options, s3Source } from "./sources.js";
import { VerifiedBlob } from "./verified.js";

/** Milliseconds; a timer of more ends at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

export type OnMissing = "raise" | "skip" | "envelope";

/** What `onResolve` is told when an envelope has been dealt with. */
export interface Resolution {
  readonly envelope: Envelope;
  /** `ok`, `closed` (cancelled before the end), or the code of what went wrong: `blob-missing`, ... */
  readonly result: string;
  /** Bytes received. */
  readonly size: number;
  /** From the start of the fetch to its end, the time that the caller took for reading included. */
  readonly seconds: number;
  readonly error: LfsError | undefined;
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
  /** Most bytes that a blob may have. Default 0: unlimited. */
  readonly maxSize?: number | undefined;
  /** What becomes of an envelope without its blob: an error, null, or the envelope's bytes. */
  readonly onMissing?: OnMissing | undefined;
  /** Called after each envelope. What it throws is reported on the console, and goes no further. */
  readonly onResolve?: ((resolution: Resolution) => void) | undefined;
  /** Tries without progress. Default: 5. */
  readonly tries?: number | undefined;
  /** Milliseconds before the second try; they double with each, up to 5 s. Default: 200. */
  readonly pause?: number | undefined;
  /** Milliseconds that the store may say nothing. Default: 60000. */
  readonly readTimeout?: number | undefined;
}

/** What one call of `resolve` or `open` may be told. */
export interface ReadOptions {
  /** Where the record is; needed by sources that read by record (the proxy's). */
  readonly record?: RecordCoordinates | undefined;
  /** Ends the read; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A value and where it came from. */
export interface Resolved {
  /** The blob's bytes; an ordinary value as it was. */
  readonly value: Uint8Array | null;
  /** null where the value was an ordinary one. */
  readonly envelope: Envelope | null;
  /** Whether the blob is not in the store: then `value` is null, or the envelope's bytes, by `onMissing`. */
  readonly missing: boolean;
}

/** A value as a stream and where it came from. */
export interface Opened {
  /**
   * The blob's bytes; an ordinary value as it was. Read it to its end or cancel it. It errors instead of
   * closing where the blob is wrong. null for a null value, and for a missing blob that is skipped.
   */
  readonly body: ReadableStream<Uint8Array> | null;
  readonly envelope: Envelope | null;
  readonly missing: boolean;
}

/** A record as Kafka clients for JavaScript hand it over: kafkajs and @confluentinc/kafka-javascript. */
export interface KafkaMessage {
  readonly value: Uint8Array | null;
  readonly offset?: string;
}

/** What `eachMessage` of these clients is called with. */
export interface KafkaPayload {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
}

/** Reads the blobs behind envelopes. One reader serves any number of reads at once. */
export class LfsReader {
  readonly #source: BlobSource;
  readonly #buckets: ReadonlySet<string>;
  readonly #prefixes: readonly string[];
  readonly #checksPlace: boolean;
  readonly #maxSize: number;
  readonly #onMissing: OnMissing;
  readonly #onResolve: ((resolution: Resolution) => void) | undefined;
  readonly #patience: Patience;

  /** Throws SettingError for an option that cannot be used. */
  constructor(options: LfsReaderOptions) {
    const { bucket, buckets, prefixes = ["lfs/"], maxSize = 0, onMissing = "raise" } = options;
    const { tries = 5, pause = 200, readTimeout = 60_000 } = options;
    checkNames("prefixes", prefixes);
    checkNames("buckets", buckets ?? []);
    if (!["raise", "skip", "envelope"].includes(onMissing)) {
      throw new SettingError(`onMissing is ${JSON.stringify(onMissing)}, one of raise, skip, envelope is needed`);
    }
    checkNumber("maxSize", maxSize, 0);
    checkNumber("tries", tries, 1);
    checkNumber("pause", pause, 0);
    checkNumber("readTimeout", readTimeout, 1, LONGEST_TIMER);
    checkEndpoint("endpoint", options.endpoint);
    this.#source = options.source ?? s3Source(options);
    const allowed = buckets ?? (bucket ? [bucket] : []);
    this.#checksPlace = this.#source.byRecord !== true || allowed.length > 0;
    if (this.#checksPlace && allowed.length === 0) {
      throw new SettingError("bucket or buckets is needed: the buckets that envelopes may point to");
    }
    this.#buckets = new Set(allowed);
    this.#prefixes = [...prefixes];
    this.#maxSize = maxSize;
    this.#onMissing = onMissing;
    this.#onResolve = options.onResolve;
    this.#patience = { tries, pause, readTimeout };
  }

  /**
   * A reader by the proxy's own variables: LFS_S3_BUCKET, _ENDPOINT, _REGION and _PATH_STYLE. `options` win.
   * Throws SettingError for a variable that cannot be used. In a browser there is no environment.
   */
  static fromEnvironment(
    options: LfsReaderOptions = {},
    variables: Readonly<Record<string, string | undefined>> = environment(),
  ): LfsReader {
    const { LFS_S3_BUCKET, LFS_S3_ENDPOINT, LFS_S3_REGION, LFS_S3_PATH_STYLE } = variables;
    checkEndpoint("LFS_S3_ENDPOINT", LFS_S3_ENDPOINT);
    return new LfsReader({
      bucket: LFS_S3_BUCKET || "kafscale",
      endpoint: LFS_S3_ENDPOINT || undefined,
      region: LFS_S3_REGION || undefined,
      pathStyle: parsedBoolean("LFS_S3_PATH_STYLE", LFS_S3_PATH_STYLE || "false"),
      ...options,
    });
  }

  /**
   * The blob behind an envelope, whole and verified; any other value as it is.
   *
   * Rejects with InvalidEnvelopeError, UnsupportedEnvelopeError, TooLargeError, EnvelopeNotAllowedError,
   * BlobMissingError, BlobTruncatedError, ChecksumMismatchError, StoreRefusedError, StoreUnavailableError
   * (after own tries), or the signal's reason.
   */
  async resolve(value: Uint8Array | null | undefined, options: ReadOptions = {}): Promise<Resolved> {
    const opened = await this.#start(value ?? null, options);
    if (!("blob" in opened)) {
      return opened;
    }
    const { blob, bytes, envelope } = opened;
    try {
      return { value: await whole(blob, envelope, bytes.lengthConfirmed), envelope, missing: false };
    } catch (error) {
      return this.#instead(error, value ?? null, envelope); // it may have vanished between two tries
    } finally {
      blob.close();
    }
  }

  /** The same in chunks, with the memory of one chunk. The stream errors as `resolve` rejects. */
  async open(value: Uint8Array | null | undefined, options: ReadOptions = {}): Promise<Opened> {
    const opened = await this.#start(value ?? null, options);
    if ("blob" in opened) {
      return { body: opened.blob.stream(), envelope: opened.envelope, missing: false };
    }
    const { value: bytes, envelope, missing } = opened;
    return { body: bytes === null ? null : streamOf(bytes), envelope, missing };
  }

  /** `resolve` for what a Kafka client hands over: a message, or a payload, whose coordinates are used too. */
  resolveMessage(message: KafkaMessage | KafkaPayload, options: ReadOptions = {}): Promise<Resolved> {
    return this.resolve(...unpacked(message, options));
  }

  /** `open` for what a Kafka client hands over. */
  openMessage(message: KafkaMessage | KafkaPayload, options: ReadOptions = {}): Promise<Opened> {
    return this.open(...unpacked(message, options));
  }

  async #start(
    value: Uint8Array | null,
    { record, signal }: ReadOptions,
  ): Promise<Resolved | { blob: VerifiedBlob; bytes: BlobBytes; envelope: Envelope }> {
    const envelope = parseEnvelope(value);
    if (envelope === null) {
      return { value, envelope, missing: false };
    }
    const started = performance.now();
    const bytes = new BlobBytes(this.#source, envelope, record, this.#patience, signal ?? new AbortController().signal);
    const blob = new VerifiedBlob(bytes, envelope, (size, verified, failure) => {
      const error = failure instanceof LfsError ? failure : undefined;
      const result = verified ? "ok" : (error?.code ?? "closed");
      this.#report({ envelope, result, size, seconds: (performance.now() - started) / 1000, error });
    });
    try {
      checkSize(envelope, this.#maxSize);
      if (this.#checksPlace) {
        checkPlace(envelope, this.#buckets, this.#prefixes);
      }
      await bytes.start();
      return { blob, bytes, envelope };
    } catch (error) {
      blob.fail(error);
      return this.#instead(error, value, envelope);
    }
  }

  /** What comes in place of a missing blob; throws any other error, and this one by default. */
  #instead(error: unknown, value: Uint8Array | null, envelope: Envelope): Resolved {
    if (!(error instanceof BlobMissingError) || this.#onMissing === "raise") {
      throw error;
    }
    return { value: this.#onMissing === "envelope" ? value : null, envelope, missing: true };
  }

  #report(resolution: Resolution): void {
    try {
      this.#onResolve?.(resolution);
    } catch (error) {
      console.error("lfsproxy-client: the onResolve hook has failed", error);
    }
  }
}

/** Memory: the blob once where the store has confirmed its length, else twice for a moment. */
async function whole(blob: VerifiedBlob, envelope: Envelope, lengthConfirmed: boolean): Promise<Uint8Array> {
  if (!lengthConfirmed) {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for (let data = await blob.next(); data !== null; data = await blob.next()) {
      chunks.push(data as Uint8Array<ArrayBuffer>);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  }
  const bytes = allocated(envelope.content_length);
  let position = 0;
  for (let data = await blob.next(); data !== null; data = await blob.next()) {
    bytes.set(data, position);
    position += data.length;
  }
  return bytes;
}

function allocated(size: number): Uint8Array {
  try {
    return new Uint8Array(size);
  } catch (error) {
    throw new TooLargeError(`the blob has ${size} bytes, more than one array can hold: use open`, { cause: error });
  }
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) {
        controller.enqueue(bytes);
      }
      controller.close();
    },
  });
}

function unpacked(
  given: KafkaMessage | KafkaPayload,
  options: ReadOptions,
): [value: Uint8Array | null, options: ReadOptions] {
  if (!("message" in given)) {
    return [given.value, options];
  }
  const { topic, partition, message } = given;
  const record = message.offset === undefined ? undefined : { topic, partition, offset: message.offset };
  return [message.value, { record, ...options }];
}

function checkNames(name: string, names: readonly string[]): void {
  if (!Array.isArray(names) || names.some((one) => typeof one !== "string")) {
    throw new SettingError(`${name} is ${JSON.stringify(names)}: an array of strings is needed`);
  }
}

function checkNumber(name: string, value: number, least: number, most = Number.MAX_VALUE): void {
  if (!(value >= least && value <= most)) {
    const range = most === Number.MAX_VALUE ? `of ${least} or more` : `from ${least} to ${most}`;
    throw new SettingError(`${name} is ${value}: a number ${range} is needed`);
  }
}

function checkEndpoint(name: string, endpoint: string | undefined): void {
  if (!endpoint) {
    return;
  }
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search || url.username || url.password) {
    throw new SettingError(
      `${name} is ${JSON.stringify(endpoint)}: a URL without a path, query or user name is needed`,
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
