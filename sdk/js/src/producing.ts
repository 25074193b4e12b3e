/** What a producer puts on a record so that the proxy offloads its value. */

import { algorithmOf, type ChecksumAlgorithm, newChecksum, parseChecksum } from "./checksums.js";
import { checkNumber } from "./options.js";

export interface LfsHeaderOptions {
  /** The checksum that the value must have, in hex: the proxy refuses a record whose bytes differ. */
  readonly checksum?: string | undefined;
  /** Its algorithm and that of the envelope. Default: by the checksum's length, else the proxy's own. */
  readonly algorithm?: ChecksumAlgorithm | undefined;
  /** Goes to the envelope and the blob. Default: application/octet-stream. */
  readonly contentType?: string | undefined;
}

/**
 * The headers that mark a record: `{ value, headers: lfsHeaders() }`. For kafkajs and
 * @confluentinc/kafka-javascript alike. Throws InvalidChecksumError.
 */
export function lfsHeaders(options: LfsHeaderOptions = {}): Record<string, string> {
  const { checksum, contentType } = options;
  const algorithm = options.algorithm ?? (checksum === undefined ? undefined : algorithmOf(checksum));
  if (algorithm !== undefined) {
    newChecksum(algorithm);
  }
  return {
    LFS_BLOB: checksum !== undefined && algorithm ? parseChecksum(algorithm, checksum) : "",
    ...(algorithm === undefined ? {} : { LFS_BLOB_ALG: algorithm }),
    ...(contentType === undefined ? {} : { "content-type": contentType }),
  };
}

export interface MarkOptions {
  /** Bytes from which on a value is marked; 0: every value. Default: 1000000, as brokers refuse a little more. */
  readonly markMinSize?: number | undefined;
  /** Compute the value's checksum, so that the proxy refuses bytes that have changed on their way. Default: false. */
  readonly markChecksum?: boolean | undefined;
  /** Of the checksum, and of the envelope. Default: sha256 with `markChecksum`, else the proxy's own. */
  readonly algorithm?: ChecksumAlgorithm | undefined;
}

/** What is looked at of a record to produce; kafkajs and @confluentinc/kafka-javascript have this and more. */
export interface ProducerMessage {
  readonly value?: Uint8Array | string | null | undefined;
  readonly headers?: object | undefined;
}

/**
 * The message as a producer is to send it: with the headers of `lfsHeaders` where its value is large, else the
 * message itself. A null value is never marked, and a message with an LFS_BLOB header stays as it is. Throws
 * SettingError and InvalidChecksumError.
 */
export function markLarge<Message extends ProducerMessage>(message: Message, options: MarkOptions = {}): Message {
  const { markMinSize = 1_000_000, markChecksum = false, algorithm } = options;
  checkNumber("markMinSize", markMinSize, 0);
  const { value, headers } = message;
  if (value === null || value === undefined || Object.hasOwn(headers ?? {}, "LFS_BLOB")) {
    return message;
  }
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  if (bytes.length < markMinSize) {
    return message;
  }
  const marks = lfsHeaders({ algorithm, checksum: markChecksum ? checksumOf(bytes, algorithm) : undefined });
  return { ...message, headers: { ...headers, ...marks } };
}

function checksumOf(bytes: Uint8Array, algorithm: ChecksumAlgorithm = "sha256"): string {
  const checksum = newChecksum(algorithm);
  checksum.update(bytes);
  return checksum.hexDigest();
}
