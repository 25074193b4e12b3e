/** Where blobs are read from: S3, a URL that somebody presigns, or the proxy's download route. */

import { AwsV4Signer } from "aws4fetch";
import { trustingFetch, usualCredentials } from "#platform";
import type { Envelope } from "./envelope.js";
import { SettingError, StoreRefusedError } from "./errors.js";
import { DEFAULT_REGION, objectUrl, type S3Location } from "./location.js";
import type { CredentialsProvider } from "./platform/types.js";

/** Where a record is in Kafka. An offset may be text, as Kafka clients give it. */
export interface RecordCoordinates {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string | number | bigint;
}

/** One GET that a reader wants to be sent. */
export interface BlobRequest {
  readonly envelope: Envelope;
  /** Given by the caller of `resolve` or `open`. */
  readonly record: RecordCoordinates | undefined;
  /** `Range` and `If-Match` where a blob is read on. Send them as they are. */
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Sends the GET for a blob. The reader retries, reads on and verifies: a source only knows where and how.
 * Rejects with an LfsError where another try is no use; what else it rejects with is tried again.
 */
export interface BlobSource {
  /** True where the record's coordinates decide what is read, and not what the envelope says. */
  readonly byRecord?: boolean;
  get(request: BlobRequest): Promise<Response>;
}

type Fetch = typeof globalThis.fetch;

export interface S3Options extends S3Location {
  /** Default: the environment, else the AWS SDK's chain where @aws-sdk/credential-providers is installed. */
  readonly credentials?: CredentialsProvider | undefined;
  /** A file of PEM certificates to trust for the store, in place of the runtime's (Node.js only; not with `fetch`). */
  readonly caFile?: string | undefined;
  readonly fetch?: Fetch | undefined;
}

/** Reads from S3, each request signed (AWS Signature Version 4). Throws SettingError for a `caFile` that is none. */
export function s3Source(options: S3Options = {}): BlobSource {
  const credentials = options.credentials ?? usualCredentials();
  if (options.caFile && options.fetch) {
    throw new SettingError("caFile is of no use with a fetch of your own: let that trust the certificates");
  }
  const isPlain = options.endpoint?.startsWith("http:") ?? false;
  const fetch = options.caFile && !isPlain ? trustingFetch("caFile", options.caFile) : options.fetch;
  const cache = new Map<string, ArrayBuffer>();
  return {
    async get({ envelope, headers, signal }) {
      const found = typeof credentials === "function" ? await credentials() : credentials;
      const signer = new AwsV4Signer({
        url: objectUrl(options, envelope.s3_bucket, envelope.s3_key),
        headers: { ...headers },
        service: "s3",
        region: options.region || DEFAULT_REGION,
        accessKeyId: found.accessKeyId,
        secretAccessKey: found.secretAccessKey,
        ...(found.sessionToken ? { sessionToken: found.sessionToken } : {}),
        cache,
      });
      const signed = await signer.sign();
      return send(fetch, signed.url, signed.headers, signal);
    },
  };
}

/** Reads by the URL that a function gives for an envelope; it is asked before each request. */
export function presignedSource(
  presign: (envelope: Envelope, record: RecordCoordinates | undefined) => string | URL | Promise<string | URL>,
  options: { readonly fetch?: Fetch | undefined } = {},
): BlobSource {
  return {
    async get({ envelope, record, headers, signal }) {
      return send(options.fetch, await presign(envelope, record), headers, signal);
    },
  };
}

export interface ProxyOptions {
  /** The proxy's HTTP API, with its base path where it has one. */
  readonly url: string | URL;
  /** Sent as `Authorization: Bearer`. */
  readonly apiKey?: string | undefined;
  readonly fetch?: Fetch | undefined;
}

/** Reads by the proxy's download route, for where there are no S3 credentials. Needs record coordinates. */
export function proxySource(options: ProxyOptions): BlobSource {
  const base = String(options.url).replace(/\/+$/, "");
  return {
    byRecord: true,
    async get({ record, headers, signal }) {
      if (record === undefined) {
        throw new StoreRefusedError("the proxy finds a blob by its record: give topic, partition and offset");
      }
      const path = `/v1/topics/${encodeURIComponent(record.topic)}/partitions/${record.partition}/records/${record.offset}`;
      // The proxy knows If-Range, and allows it to other origins: another blob is a 200, which is not read on.
      const { "if-match": etag, ...others } = headers;
      const tied = etag === undefined ? {} : { "if-range": etag };
      const bearer = options.apiKey ? { authorization: `Bearer ${options.apiKey}` } : {};
      return send(options.fetch, base + path, { ...others, ...tied, ...bearer }, signal);
    },
  };
}

/** Redirects are not followed: a store has no reason to send a signed request elsewhere. */
function send(
  fetch: Fetch | undefined,
  url: string | URL,
  headers: HeadersInit,
  signal: AbortSignal,
): Promise<Response> {
  return (fetch ?? globalThis.fetch)(url, { headers, signal, redirect: "manual", cache: "no-store" });
}
