/**
 * What a claim check looks like, and how to recognise one. An envelope of version 1 is UTF-8 JSON:
 *
 *     {"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/42-<uuid>.bin",
 *      "content_type":"image/png","content_length":10485760,"checksum_algo":"sha256","checksum":"<hex>"}
 */

import { isLosslessNumber, parse } from "lossless-json";
import { type ChecksumAlgorithm, isAlgorithm, parseChecksum, quoted } from "./checksums.js";
import { InvalidChecksumError, InvalidEnvelopeError, UnsupportedEnvelopeError } from "./errors.js";

/** A claim check: where the blob is, and what its bytes must be. The names are those on the wire. */
export interface Envelope {
  readonly s3_bucket: string;
  readonly s3_key: string;
  readonly content_type: string;
  /** Bytes. */
  readonly content_length: number;
  readonly checksum_algo: ChecksumAlgorithm;
  /** Lower-case hex. */
  readonly checksum: string;
}

const VERSION = 1;
const MAX_ENVELOPE_BYTES = 64 * 1024;
const OPENING_BRACE = 0x7b;
/** Levels of objects and arrays: a parser's own limit differs from language to language. */
const MAX_NESTING = 100;
const NESTING = /"(?:[^"\\]|\\.)*"?|[[{]|[\]}]/gs;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

type Fields = Record<string, unknown>;

/**
 * The envelope in a record's value, or null where the value is an ordinary one.
 *
 * Throws UnsupportedEnvelopeError for a version that is newer than this reader, InvalidEnvelopeError for a
 * value which is an envelope by its lfs_version, s3_bucket and s3_key, but lacks a field or has one of the
 * wrong type.
 */
export function parseEnvelope(value: Uint8Array | null): Envelope | null {
  const fields = envelopeFields(value);
  if (fields === null) {
    return null;
  }
  const version = integer(fields, "lfs_version") as number;
  if (version > VERSION) {
    throw new UnsupportedEnvelopeError(
      `the envelope has lfs_version ${version}, this reader knows versions up to ${VERSION}`,
    );
  }
  if (version < 1) {
    throw new InvalidEnvelopeError(`the envelope has lfs_version ${version}`);
  }
  const algorithm = text(fields, "checksum_algo");
  if (!isAlgorithm(algorithm)) {
    throw new InvalidEnvelopeError(`the envelope's checksum_algo is ${quoted(algorithm)}`);
  }
  return {
    s3_bucket: text(fields, "s3_bucket"),
    s3_key: text(fields, "s3_key"),
    content_type: text(fields, "content_type"),
    content_length: length(fields),
    checksum_algo: algorithm,
    checksum: checksum(fields, algorithm),
  };
}

/** The JSON object of a value that is an envelope of any version, else null. Cheap tests come first. */
function envelopeFields(value: Uint8Array | null): Fields | null {
  if (value === null || value.length >= MAX_ENVELOPE_BYTES || value[0] !== OPENING_BRACE) {
    return null;
  }
  let fields: unknown;
  try {
    const json = decoder.decode(value);
    if (!json.includes('"lfs_version"') || isNestedTooDeep(json)) {
      return null;
    }
    fields = parse(json, undefined, { onDuplicateKey: ({ newValue }) => newValue });
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) {
      return null; // not JSON, or not UTF-8
    }
    throw error;
  }
  const object = fields as Fields;
  if (integer(object, "lfs_version") === undefined || !has(object, "s3_bucket") || !has(object, "s3_key")) {
    return null;
  }
  return object;
}

function isNestedTooDeep(json: string): boolean {
  let depth = 0;
  for (const [token] of json.matchAll(NESTING)) {
    depth += token === "[" || token === "{" ? 1 : token === "]" || token === "}" ? -1 : 0;
    if (depth > MAX_NESTING) {
      return true;
    }
  }
  return false;
}

/** An own field only: the parser makes `__proto__` of the JSON the object's prototype. */
function has(fields: Fields, name: string): boolean {
  return Object.hasOwn(fields, name);
}

/** A number that is written as an integer: 5.0 and 1e3 are none. Beyond 2^53 the nearest number; -0 is 0. */
function integer(fields: Fields, name: string): number | undefined {
  const found = has(fields, name) ? fields[name] : undefined;
  return isLosslessNumber(found) && /^-?\d+$/.test(found.value) ? Number(found.value) + 0 : undefined;
}

function text(fields: Fields, name: string): string {
  const found = has(fields, name) ? fields[name] : undefined;
  if (typeof found !== "string") {
    throw new InvalidEnvelopeError(`the envelope's ${name} is ${quoted(found)}, a string is needed`);
  }
  if (/\p{Surrogate}/u.test(found)) {
    throw new InvalidEnvelopeError(`the envelope's ${name} is ${quoted(found)}, which is half of a character`);
  }
  return found;
}

function length(fields: Fields): number {
  const found = integer(fields, "content_length");
  if (found === undefined || found < 0) {
    throw new InvalidEnvelopeError("the envelope's content_length is no integer of 0 or more");
  }
  return found;
}

function checksum(fields: Fields, algorithm: ChecksumAlgorithm): string {
  try {
    return parseChecksum(algorithm, text(fields, "checksum"));
  } catch (error) {
    if (error instanceof InvalidChecksumError) {
      throw new InvalidEnvelopeError(`the envelope's checksum is not usable: ${error.message}`);
    }
    throw error;
  }
}
