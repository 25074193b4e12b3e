/** Uploads by the proxy's HTTP API: one request that stores the blob and publishes its envelope. */

import { streamsBodies } from "#platform";
import { readRefusal } from "./answers.js";
import { type Body, type BodySource, bodyOf } from "./bodies.js";
import { algorithmOf, type ChecksumAlgorithm, newChecksum, parseChecksum } from "./checksums.js";
import { type Envelope, parseEnvelope } from "./envelope.js";
import { UploadError } from "./errors.js";
import { tell } from "./hooks.js";

export interface UploadOptions {
  /** The record's key. */
  readonly key?: string | Uint8Array | undefined;
  /** Default: as Kafka's own default partitioner. */
  readonly partition?: number | undefined;
  /** The record's headers; an array of pairs where a name occurs twice. */
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[] | undefined;
  /** Milliseconds since 1970. Default: now. */
  readonly timestamp?: number | undefined;
  /** Default: the Blob's own, else application/octet-stream. */
  readonly contentType?: string | undefined;
  /** The checksum that the bytes must have, in hex: the proxy refuses an upload that differs. */
  readonly checksum?: string | undefined;
  /** Its algorithm and that of the envelope. Default: by the checksum's length, else the proxy's own. */
  readonly algorithm?: ChecksumAlgorithm | undefined;
  /** Becomes the record header `lfs-filename`. Default: the name of a File or path; "" for none. */
  readonly filename?: string | undefined;
  /** Sent as `Authorization: Bearer`. */
  readonly apiKey?: string | undefined;
  /** Ends the upload; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Bytes handed to the connection so far, and all of them when the record is published. In browsers only that: they
   * do not say more for `fetch`.
   */
  readonly onProgress?: ((sent: number) => void) | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/** The record that was published. */
export interface Uploaded {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly envelope: Envelope & { readonly lfs_version: number };
}

/**
 * Upload a body to a topic through the proxy at `url`. Resolves when the blob is whole in S3 and Kafka has
 * acknowledged its envelope. Memory: a chunk.
 *
 * Nothing is tried twice: a stream can be read once only. Rejects with UploadError, InvalidChecksumError, what
 * reading the body throws, or the signal's reason.
 */
export async function upload(
  url: string | URL,
  topic: string,
  source: BodySource,
  options: UploadOptions = {},
): Promise<Uploaded> {
  const body = await bodyOf(source);
  const target = `${String(url).replace(/\/+$/, "")}/v1/topics/${encodeURIComponent(topic)}/records?${query(body, options)}`;
  const progress = new Progress(body, options.onProgress);
  let response: Response;
  try {
    response = await (options.fetch ?? fetch)(target, {
      method: "POST",
      headers: requestHeaders(progress, options),
      body: progress.body,
      signal: options.signal ?? null,
      redirect: "manual",
      ...(progress.streams ? { duplex: "half" } : {}),
    });
  } catch (error) {
    progress.stop(error);
    options.signal?.throwIfAborted();
    throw progress.failure(error);
  }
  if (response.status !== 201) {
    progress.stop(new Error(`the proxy answers ${response.status}`));
  }
  const uploaded = await answered(response, options.signal);
  progress.finish();
  return uploaded;
}

async function answered(response: Response, signal: AbortSignal | undefined): Promise<Uploaded> {
  try {
    if (response.status === 201) {
      return published(await response.json());
    }
    throw await refused(response);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UploadError || response.status !== 201) {
      throw error instanceof UploadError ? error : unreadable(response.status, error);
    }
    throw new UploadError("outcome-unknown", "the proxy's answer cannot be read", { status: 201 }, { cause: error });
  }
}

/** Throws TypeError, or what `parseEnvelope` throws, for an answer that says no record. */
function published(answer: unknown): Uploaded {
  const { topic, partition, offset, timestamp, envelope } = (answer ?? {}) as Partial<Uploaded>;
  const numbers = [partition, offset, timestamp].every(Number.isInteger);
  const read = parseEnvelope(new TextEncoder().encode(JSON.stringify(envelope ?? null)));
  if (typeof topic !== "string" || !numbers || read === null) {
    throw new TypeError("the answer names no record");
  }
  return answer as Uploaded;
}

function unreadable(status: number, error: unknown): UploadError {
  return new UploadError(`http-${status}`, `the proxy answers ${status}`, { status }, { cause: error });
}

async function refused(response: Response): Promise<UploadError> {
  const { status } = response;
  const { problemName, problem } = await readRefusal(response);
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  const detail = problem?.detail ?? problem?.title ?? `the proxy answers ${status}`;
  const unnamed = status === 503 ? "proxy-unavailable" : `http-${status}`;
  return new UploadError(problemName || unnamed, String(detail), {
    status,
    ...(problem === undefined ? {} : { problem }),
    ...(Number.isFinite(after) ? { retryAfter: after } : {}),
  });
}

function requestHeaders(progress: Progress, options: UploadOptions): Record<string, string> {
  return {
    accept: "application/json, application/problem+json",
    // The blob's own type goes by the query: a Blob of a form's type is to be stored, not to be parsed.
    "content-type": "application/octet-stream",
    ...(options.apiKey ? { authorization: `Bearer ${options.apiKey}` } : {}),
    ...(progress.streams && progress.size !== undefined ? { "content-length": String(progress.size) } : {}),
  };
}

function query(body: Body, options: UploadOptions): URLSearchParams {
  const found = new URLSearchParams();
  const { key, partition, timestamp, checksum, headers = {} } = options;
  if (typeof key === "string") {
    found.set("key", key);
  } else if (key !== undefined) {
    found.set("key_base64", base64(key));
  }
  for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) {
    found.append("header", `${name}:${value}`);
  }
  const filename = options.filename ?? body.name;
  if (filename) {
    found.append("header", `lfs-filename:${filename}`);
  }
  const algorithm = options.algorithm ?? (checksum === undefined ? undefined : algorithmOf(checksum));
  const values = {
    partition,
    timestamp,
    content_type: options.contentType ?? body.contentType,
    checksum: checksum !== undefined && algorithm ? parseChecksum(algorithm, checksum) : undefined,
    checksum_algo: algorithm,
  };
  if (algorithm !== undefined) {
    newChecksum(algorithm);
  }
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) {
      found.set(name, String(value));
    }
  }
  return found;
}

function base64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** Knows how far a body was read: what failed before its end was certainly not published. */
class Progress {
  readonly body: Blob | ReadableStream<Uint8Array>;
  readonly streams: boolean;
  readonly size: number | undefined;
  readonly #onProgress: UploadOptions["onProgress"];
  #failed: { error: unknown } | undefined;
  #stopped: unknown;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #sent = 0;
  #ended = false;

  constructor(body: Body, onProgress: UploadOptions["onProgress"]) {
    this.size = body.size;
    this.#onProgress = onProgress;
    if (body.whole !== undefined && !streamsBodies) {
      this.body = body.whole;
      this.streams = false;
      return;
    }
    this.streams = true;
    this.#ended = body.size === 0; // the proxy has all of it with the headers
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: async (controller) => {
          this.#reader ??= body.stream().getReader();
          const { done, value } = await this.#read(this.#reader);
          if (this.#stopped !== undefined) {
            return;
          }
          if (done) {
            this.#checkEnd();
            this.#ended = true;
            controller.close();
            return;
          }
          // A file that grows meanwhile is sent as long as it was.
          const bytes = value.subarray(0, (this.size ?? Number.POSITIVE_INFINITY) - this.#sent);
          if (bytes.length > 0) {
            controller.enqueue(bytes);
          }
          this.#sent += bytes.length;
          this.#ended = this.#sent === this.size;
          if (this.#ended) {
            controller.close();
            await this.#reader.cancel();
          } else {
            tell("onProgress", onProgress, this.#sent);
          }
        },
        cancel: (reason) => this.#reader?.cancel(reason),
      },
      { highWaterMark: 0 },
    );
  }

  /** No more of the body is wanted. Node's `fetch` would read it to its end, even where its connection is gone. */
  stop(reason: unknown): void {
    if (this.streams && !this.#ended && this.#stopped === undefined) {
      this.#stopped = reason;
      this.#controller?.error(reason);
      // The upload has failed already: what the body says to that is no news.
      this.#reader?.cancel(reason).catch(() => undefined);
    }
  }

  /** The record is published. */
  finish(): void {
    tell("onProgress", this.#onProgress, this.streams ? this.#sent : (this.size ?? 0));
  }

  #checkEnd(): void {
    if (this.size !== undefined && this.#sent < this.size) {
      const error = new Error(`the body ended ${this.size - this.#sent} bytes before its length`);
      this.#failed = { error };
      throw error;
    }
  }

  /** What to throw where `fetch` failed. */
  failure(error: unknown): unknown {
    if (this.#failed !== undefined) {
      return this.#failed.error;
    }
    const why = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const said = why instanceof Error ? why.message || why.name : String(why);
    if (this.streams && !this.#ended) {
      return new UploadError("proxy-unavailable", `the upload broke off: ${said}`, {}, { cause: error });
    }
    const code = isUnreached(why) ? "proxy-unavailable" : "outcome-unknown";
    return new UploadError(code, `no answer to the upload came: ${said}`, {}, { cause: error });
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
    try {
      return await reader.read();
    } catch (error) {
      this.#failed = { error };
      throw error;
    }
  }
}

/** No connection was made. */
function isUnreached(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "UND_ERR_CONNECT_TIMEOUT";
}
