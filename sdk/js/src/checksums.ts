/** The three checksum algorithms of envelopes. */

import { checksumMakers } from "#platform";
import { InvalidChecksumError } from "./errors.js";
import type { Checksum } from "./platform/types.js";

export type ChecksumAlgorithm = "sha256" | "crc32" | "md5";

/** Name to length in hex digits. */
const DIGITS: Readonly<Record<ChecksumAlgorithm, number>> = { sha256: 64, crc32: 8, md5: 32 };

export function isAlgorithm(name: unknown): name is ChecksumAlgorithm {
  return typeof name === "string" && Object.hasOwn(DIGITS, name);
}

/** Throws InvalidChecksumError for a name that is none of the three. */
export function newChecksum(algorithm: string): Checksum {
  if (!isAlgorithm(algorithm)) {
    throw new InvalidChecksumError(`unknown checksum algorithm ${quoted(algorithm)}; sha256, crc32 or md5 is needed`);
  }
  return checksumMakers[algorithm]();
}

/** The checksum in lower-case hex. Throws InvalidChecksumError when it is not hex of the algorithm's length. */
export function parseChecksum(algorithm: ChecksumAlgorithm, text: string): string {
  const digits = DIGITS[algorithm];
  if (text.length !== digits || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new InvalidChecksumError(`a ${algorithm} checksum is ${digits} hex digits, got ${quoted(text)}`);
  }
  return text.toLowerCase();
}

/** The algorithm whose checksums are as long as this one. Throws InvalidChecksumError where there is none. */
export function algorithmOf(checksum: string): ChecksumAlgorithm {
  for (const [algorithm, digits] of Object.entries(DIGITS)) {
    if (checksum.length === digits && isAlgorithm(algorithm)) {
      return algorithm;
    }
  }
  throw new InvalidChecksumError(`${quoted(checksum)} is no sha256, crc32 or md5 checksum in hex`);
}

/** A value for a message, cut where it is long. */
export function quoted(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 80);
}
