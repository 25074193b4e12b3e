/** What a producer puts on a record so that the proxy offloads its value. */

import { algorithmOf, type ChecksumAlgorithm, newChecksum, parseChecksum } from "./checksums.js";

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
