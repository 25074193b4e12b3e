/** Which envelopes a reader follows. An envelope is whatever a producer wrote. */

import { quoted } from "./checksums.js";
import type { Envelope } from "./envelope.js";
import { EnvelopeNotAllowedError, TooLargeError } from "./errors.js";

/** Bytes that a whole read takes into memory where no `maxSize` was given: 256 MiB. */
const WHOLE_MAX_SIZE = 256 * 1024 * 1024;

/** Throws TooLargeError for a blob of more than `maxSize` bytes (0: unlimited; undefined: as `whole` says). */
export function checkSize(envelope: Envelope, maxSize: number | undefined, whole: boolean): void {
  const limit = maxSize ?? (whole ? WHOLE_MAX_SIZE : 0);
  if (limit > 0 && envelope.content_length > limit) {
    const byDefault = maxSize === undefined ? ", its default for a whole value: `open` has no such limit" : "";
    throw new TooLargeError(
      `the blob has ${envelope.content_length} bytes, more than maxSize allows (${limit} bytes${byDefault})`,
    );
  }
}

/**
 * Throws EnvelopeNotAllowedError for a blob outside the buckets and key prefixes.
 *
 * Whoever may produce to a topic decides what an envelope says: it must not make a reader fetch anything else
 * that the reader's credentials can see. A key with a `.` or `..` between slashes is refused too, as URLs
 * resolve it.
 */
export function checkPlace(envelope: Envelope, buckets: ReadonlySet<string>, prefixes: readonly string[]): void {
  const { s3_bucket, s3_key } = envelope;
  if (!buckets.has(s3_bucket)) {
    throw new EnvelopeNotAllowedError(`the envelope points to the bucket ${quoted(s3_bucket)}, not allowed`);
  }
  const dotted = s3_key.split("/").some((part) => part === "." || part === "..");
  if (dotted || !prefixes.some((prefix) => s3_key.startsWith(prefix))) {
    throw new EnvelopeNotAllowedError(`the envelope points to the key ${quoted(s3_key)}, not allowed`);
  }
}
