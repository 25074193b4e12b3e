/**
 * One blob's bytes by GET, not verified: retried before the first byte, and taken up again where they stopped.
 *
 * A dropped connection is followed by a ranged GET from the next byte on, tied to the same object by If-Match.
 * Tries are counted from the last progress, so that a long download may be interrupted often.
 */

import { type Refusal, readRefusal } from "./answers.js";
import type { Envelope } from "./envelope.js";
import {
  BlobMissingError,
  BlobTruncatedError,
  ChecksumMismatchError,
  EnvelopeNotAllowedError,
  InvalidEnvelopeError,
  LfsError,
  StoreRefusedError,
  StoreUnavailableError,
  UnsupportedEnvelopeError,
} from "./errors.js";
import type { BlobSource, RecordCoordinates } from "./sources.js";

/** Milliseconds of a pause that was doubled; a first pause may be longer. */
const LONGEST_PAUSE = 5000;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);

/** The names by which the proxy's download route says what a reader of S3 would find by itself. */
const BY_NAME: Readonly<Record<string, new (message: string) => LfsError>> = {
  "blob-missing": BlobMissingError,
  "blob-truncated": BlobTruncatedError,
  "checksum-mismatch": ChecksumMismatchError,
  "envelope-not-allowed": EnvelopeNotAllowedError,
  "invalid-envelope": InvalidEnvelopeError,
  "unsupported-envelope": UnsupportedEnvelopeError,
  "store-refused": StoreRefusedError,
};

/** How long and how often a blob is asked for. Times are in milliseconds. */
export interface Patience {
  /** Tries without progress before StoreUnavailableError. */
  readonly tries: number;
  /** The pause before the second try; it doubles with each, up to 5 s, with jitter. */
  readonly pause: number;
  /** No further try begins later than this after the last progress; 0: no limit. */
  readonly retryTime: number;
  /** How long the store may say nothing while something is awaited from it. */
  readonly readTimeout: number;
}

/** An answer that may pass. */
class PassingError extends Error {}

export class BlobBytes {
  readonly #source: BlobSource;
  readonly #envelope: Envelope;
  readonly #record: RecordCoordinates | undefined;
  readonly #patience: Patience;
  /** Once nobody wants the bytes, nothing is asked for again. */
  #stopped: { readonly reason: unknown } | undefined;
  /** Ends what is being waited for. */
  #interrupt: ((reason: unknown) => void) | undefined;
  #attempt = new AbortController();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #etag: string | null = null;
  #position = 0;
  #failures = 0;
  /** Since when there has been no progress, though bytes were wanted. */
  #waitingSince = 0;
  /** Milliseconds that the start has taken; the time until the bytes are asked for is the caller's own. */
  #waited = 0;
  #gets = 0;
  #lengthConfirmed = false;

  constructor(source: BlobSource, envelope: Envelope, record: RecordCoordinates | undefined, patience: Patience) {
    this.#source = source;
    this.#envelope = envelope;
    this.#record = record;
    this.#patience = patience;
  }

  /** Whether the store has said that the blob is as long as its envelope says. */
  get lengthConfirmed(): boolean {
    return this.#lengthConfirmed;
  }

  /** GETs sent so far. */
  get gets(): number {
    return this.#gets;
  }

  /** Send the GET. Rejects with an LfsError, or with the reason of `stop`. */
  async start(): Promise<void> {
    this.#waitingSince = performance.now();
    await this.#start();
    this.#waited = performance.now() - this.#waitingSince;
  }

  /** The next bytes; null at the end of what the store sends. Rejects as `start` does. */
  async read(): Promise<Uint8Array | null> {
    this.#waitingSince = performance.now() - this.#waited;
    for (;;) {
      const reader = this.#reader ?? (await this.#start());
      try {
        const { done, value } = await this.#inTime(() => reader.read());
        if (done) {
          return null;
        }
        if (value.length > 0) {
          this.#failures = 0;
          this.#waited = 0;
          this.#position += value.length;
          return value;
        }
      } catch (error) {
        this.#reader = undefined;
        await this.#pauseAfter(error);
      }
    }
  }

  /**
   * Let go of the connection, which is used again where the answer was read to its end. What waits for bytes, and all
   * that asks later, is rejected with the reason.
   */
  stop(reason: unknown): void {
    if (this.#stopped !== undefined) {
      return;
    }
    this.#stopped = { reason };
    const reader = this.#reader;
    this.#reader = undefined;
    this.#attempt.abort();
    // For a source that does not look at its signal. The read has ended: what the source says to that is no news.
    reader?.cancel(reason).catch(() => undefined);
    this.#interrupt?.(reason);
  }

  async #start(): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    while (this.#reader === undefined) {
      try {
        this.#reader = await this.#inTime(() => this.#opened());
      } catch (error) {
        await this.#pauseAfter(error);
      }
    }
    return this.#reader;
  }

  async #opened(): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const headers: Record<string, string> = {};
    if (this.#position > 0) {
      headers.range = `bytes=${this.#position}-`;
      if (this.#etag !== null) {
        headers["if-match"] = this.#etag;
      }
    }
    const { signal } = this.#attempt;
    this.#gets += 1;
    const response = await this.#source.get({ envelope: this.#envelope, record: this.#record, headers, signal });
    if (signal.aborted) {
      await response.body?.cancel(); // nobody waits for it any more
      throw signal.reason;
    }
    if (response.status !== (this.#position > 0 ? 206 : 200)) {
      throw this.#refused(response.status, await readRefusal(response));
    }
    this.#checkLength(response);
    this.#etag = response.headers.get("etag");
    return (response.body ?? new Blob([]).stream()).getReader();
  }

  #checkLength(response: Response): void {
    const length = response.headers.get("content-length") ?? "";
    if (!/^\d+$/.test(length)) {
      return;
    }
    const found = Number(length) + this.#position;
    if (found !== this.#envelope.content_length) {
      throw new BlobTruncatedError(
        `the blob ${this.#name} has ${found} bytes, its envelope says ${this.#envelope.content_length}`,
      );
    }
    this.#lengthConfirmed = true;
  }

  get #name(): string {
    return `${this.#envelope.s3_bucket}/${this.#envelope.s3_key}`;
  }

  #refused(status: number, { s3Code, problemName, problem }: Refusal): Error {
    const said = [status || "with a redirect", s3Code || problemName, problem?.detail].filter(Boolean).join(" ");
    const named = Object.hasOwn(BY_NAME, problemName) ? BY_NAME[problemName] : undefined;
    if (named !== undefined) {
      return new named(`the proxy refuses to give the blob ${this.#name}: ${said}`);
    }
    if (status === 404 && s3Code !== "NoSuchBucket" && problem === undefined) {
      return new BlobMissingError(`the blob ${this.#name} is missing`);
    }
    if (RETRIED.has(status)) {
      return new PassingError(`the store answers ${said}`);
    }
    if (this.#position > 0 && [200, 412, 416].includes(status)) {
      return new StoreUnavailableError(
        `the blob ${this.#name} cannot be read on after ${this.#position} bytes: ${said}`,
      );
    }
    return new StoreRefusedError(`the store refuses to give the blob ${this.#name}: ${said}`);
  }

  /** Abort what is awaited when it takes longer than `readTimeout`, or when the bytes are wanted no more. */
  async #inTime<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#attempt.signal.aborted && this.#stopped === undefined) {
      this.#attempt = new AbortController();
    }
    const attempt = this.#attempt;
    const { readTimeout } = this.#patience;
    return this.#interruptible((resolve, reject) => {
      const timer = setTimeout(() => {
        const late = new PassingError(`the store said nothing for ${readTimeout} ms`);
        reject(late);
        attempt.abort(late);
      }, readTimeout);
      work().then(resolve, reject);
      return () => clearTimeout(timer);
    });
  }

  /** A promise that `stop` rejects. `begin` gives what is to be done when it is settled. */
  async #interruptible<Result>(
    begin: (resolve: (result: Result) => void, reject: (reason: unknown) => void) => () => void,
  ): Promise<Result> {
    if (this.#stopped !== undefined) {
      throw this.#stopped.reason;
    }
    let release = (): void => undefined;
    try {
      return await new Promise<Result>((resolve, reject) => {
        this.#interrupt = reject;
        release = begin(resolve, reject);
      });
    } finally {
      this.#interrupt = undefined;
      release();
    }
  }

  /** Wait before the next try; throws what is final, and StoreUnavailableError after the last try. */
  async #pauseAfter(error: unknown): Promise<void> {
    this.#attempt.abort();
    if (this.#stopped !== undefined) {
      throw this.#stopped.reason;
    }
    if (error instanceof LfsError) {
      throw error;
    }
    this.#failures += 1;
    const { tries, retryTime, pause: first } = this.#patience;
    const longest = Math.min(Math.max(LONGEST_PAUSE, first), first * 2 ** (this.#failures - 1));
    const pause = longest * (0.5 + Math.random() / 2);
    const waited = performance.now() + pause - this.#waitingSince;
    if (this.#failures >= tries || (retryTime > 0 && waited > retryTime)) {
      throw new StoreUnavailableError(`the blob ${this.#name} cannot be read: ${reasonOf(error)}`, { cause: error });
    }
    await this.#interruptible<void>((resolve) => {
      const timer = setTimeout(resolve, pause);
      return () => clearTimeout(timer);
    });
  }
}

/** `fetch` hides the reason of a failed connection in the error's cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
