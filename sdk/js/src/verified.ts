/** A blob in chunks that ends only when every byte was there and right. */

import type { BlobBytes } from "./bytes.js";
import { newChecksum } from "./checksums.js";
import type { Envelope } from "./envelope.js";
import { BlobTruncatedError, ChecksumMismatchError, LfsError, ReadInterruptedError } from "./errors.js";
import { tell } from "./hooks.js";
import type { Checksum } from "./platform/types.js";

/** How a read has ended. `closed`: by its reader before the end; `aborted`: by the caller's signal. */
export type End =
  | { readonly how: "verified" | "closed" }
  | { readonly how: "aborted"; readonly reason: unknown }
  | { readonly how: "failed"; readonly error: LfsError };

/** What is told of a read. */
export interface Listener {
  /** Called once, with the bytes received. */
  ended(size: number, end: End): void;
  /** Bytes received so far; the whole length only once the blob is verified. */
  readonly onProgress: ((received: number) => unknown) | undefined;
}

/**
 * The last chunk is handed out only after the whole blob was verified: until then BlobTruncatedError,
 * ChecksumMismatchError or StoreUnavailableError is thrown where the end would be. So neither "read until the
 * end" nor "read content_length bytes" can take a wrong blob for a right one.
 */
export class VerifiedBlob {
  readonly #bytes: BlobBytes;
  readonly #envelope: Envelope;
  readonly #checksum: Checksum;
  readonly #listener: Listener;
  #received = 0;
  #end: End | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(bytes: BlobBytes, envelope: Envelope, listener: Listener) {
    this.#bytes = bytes;
    this.#envelope = envelope;
    this.#checksum = newChecksum(envelope.checksum_algo);
    this.#listener = listener;
  }

  /** The next bytes; null after the verified end. After anything else than that, all later reads fail as it did. */
  async next(): Promise<Uint8Array | null> {
    if (this.#end !== undefined) {
      return this.#afterEnd(this.#end);
    }
    try {
      return await this.#next();
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** The blob cannot be read: this is told, once, and the connection is let go of. What is to be thrown for it. */
  fail(error: unknown): unknown {
    if (this.#end === undefined) {
      this.#finish({ how: "failed", error: error instanceof LfsError ? error : interrupted(this.#received, error) });
    }
    return thrownAfter(this.#end as End);
  }

  /** Let go of the connection. Before the end this is no error, but no success either. */
  close(): void {
    this.#finish({ how: "closed" });
  }

  /** The caller wants no more: whatever waits for bytes fails with the reason, and so does the stream, read or not. */
  abort(reason: unknown): void {
    this.#finish({ how: "aborted", reason });
    this.#controller?.error(reason);
  }

  /** The blob as a web stream. It reads from the store only when something is read from it. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          if (this.#end !== undefined) {
            controller.error(thrownAfter(this.#end)); // aborted between its opening and here
          }
        },
        pull: async (controller) => {
          const data = await this.next();
          if (data !== null && data.length > 0) {
            controller.enqueue(data);
          }
          if (this.#end?.how === "verified") {
            controller.close();
          }
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
  }

  async #next(): Promise<Uint8Array> {
    const length = this.#envelope.content_length;
    const data = this.#received < length ? await this.#bytes.read() : new Uint8Array();
    if (data === null) {
      throw new BlobTruncatedError(`the blob ends after ${this.#received} of ${length} bytes`);
    }
    if (!ArrayBuffer.isView(data)) {
      throw new TypeError("the source gives something else than bytes");
    }
    this.#received += data.length;
    this.#checksum.update(data);
    if (this.#received >= length) {
      await this.#verify();
    }
    tell("onProgress", this.#listener.onProgress, this.#received);
    return data;
  }

  async #verify(): Promise<void> {
    const { content_length, checksum_algo, checksum } = this.#envelope;
    if (this.#received > content_length || (await this.#bytes.read()) !== null) {
      throw new BlobTruncatedError(`the blob has more than ${content_length} bytes`);
    }
    const actual = this.#checksum.hexDigest();
    if (actual !== checksum) {
      throw new ChecksumMismatchError(`the ${checksum_algo} of the blob is ${actual}, its envelope says ${checksum}`);
    }
    this.#finish({ how: "verified" });
  }

  #afterEnd(end: End): null {
    if (end.how !== "verified") {
      throw thrownAfter(end);
    }
    return null;
  }

  #finish(end: End): void {
    if (this.#end !== undefined) {
      return;
    }
    this.#end = end;
    this.#bytes.stop(thrownAfter(end));
    this.#listener.ended(this.#received, end);
  }
}

/** What a read fails with that comes after this end. */
function thrownAfter(end: End): unknown {
  switch (end.how) {
    case "failed":
      return end.error;
    case "aborted":
      return end.reason;
    default:
      return new ReadInterruptedError("the read was closed");
  }
}

function interrupted(received: number, cause: unknown): ReadInterruptedError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ReadInterruptedError(`the read was broken off after ${received} bytes: ${why}`, { cause });
}
