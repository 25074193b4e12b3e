/** A blob in chunks that ends only when every byte was there and right. */

import type { BlobBytes } from "./bytes.js";
import { newChecksum } from "./checksums.js";
import type { Envelope } from "./envelope.js";
import { BlobTruncatedError, ChecksumMismatchError } from "./errors.js";
import type { Checksum } from "./platform/types.js";

/** Told once: bytes received, whether they were verified, and what went wrong. Neither means closed early. */
export type Ended = (size: number, verified: boolean, error: unknown) => void;

/**
 * The last chunk is handed out only after the whole blob was verified: until then BlobTruncatedError,
 * ChecksumMismatchError or StoreUnavailableError is thrown where the end would be. So neither "read until the
 * end" nor "read content_length bytes" can take a wrong blob for a right one.
 */
export class VerifiedBlob {
  readonly #bytes: BlobBytes;
  readonly #envelope: Envelope;
  readonly #checksum: Checksum;
  #received = 0;
  #verified = false;
  #ended: Ended | undefined;

  constructor(bytes: BlobBytes, envelope: Envelope, ended: Ended) {
    this.#bytes = bytes;
    this.#envelope = envelope;
    this.#checksum = newChecksum(envelope.checksum_algo);
    this.#ended = ended;
  }

  /** The next bytes; null after the verified end. */
  async next(): Promise<Uint8Array | null> {
    if (this.#verified) {
      return null;
    }
    try {
      return await this.#next();
    } catch (error) {
      this.#finish(error);
      throw error;
    }
  }

  /** The blob cannot be read: this is told, once, and the connection is let go of. */
  fail(error: unknown): void {
    this.#finish(error);
  }

  /** Let go of the connection. Before the end this is no error, but no success either. */
  close(): void {
    this.#finish(undefined);
  }

  /** The blob as a web stream. It reads from the store only when something is read from it. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const data = await this.next();
          if (data !== null && data.length > 0) {
            controller.enqueue(data);
          }
          if (this.#verified) {
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
    this.#received += data.length;
    this.#checksum.update(data);
    if (this.#received >= length) {
      await this.#verify();
    }
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
    this.#verified = true;
    this.#finish(undefined);
  }

  #finish(error: unknown): void {
    const ended = this.#ended;
    this.#ended = undefined;
    this.#bytes.close();
    ended?.(this.#received, this.#verified, error);
  }
}
