/** What may be uploaded or hashed, as one shape. */

import { openFile } from "#platform";
import { type ChecksumAlgorithm, newChecksum } from "./checksums.js";
import { streamOf } from "./streams.js";

/**
 * Bytes, a Blob or File, a web stream, anything that gives bytes when iterated (a Node.js Readable, say), or a
 * file by its path (Node.js only).
 */
export type BodySource =
  | Uint8Array
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | { readonly path: string };

/** A body ready to be read. */
export interface Body {
  /** Bytes; undefined where it is not known. */
  readonly size: number | undefined;
  readonly name: string | undefined;
  readonly contentType: string | undefined;
  /** Sent as it is where nothing needs to see the bytes: it has its length, and can be sent by any browser. */
  readonly whole: Blob | undefined;
  stream(): ReadableStream<Uint8Array>;
}

/** Rejects as `fs.stat` does for a path, and with TypeError for what is no body. */
export async function bodyOf(source: BodySource): Promise<Body> {
  if (source instanceof Uint8Array) {
    return blobBody(new Blob([source as Uint8Array<ArrayBuffer>]));
  }
  if (source instanceof Blob) {
    return blobBody(source);
  }
  if (source instanceof ReadableStream) {
    return { ...UNKNOWN, stream: () => source };
  }
  if (Symbol.asyncIterator in source) {
    return { ...UNKNOWN, stream: () => streamOf(source) };
  }
  if (typeof source === "object" && "path" in source) {
    return { ...UNKNOWN, ...(await openFile(source.path)) };
  }
  throw new TypeError("a body is a Uint8Array, Blob, ReadableStream, async iterable or { path }");
}

/** The checksum of a body in hex, computed in chunks. A stream is used up by it. */
export async function checksumOf(source: BodySource, algorithm: ChecksumAlgorithm): Promise<string> {
  const checksum = newChecksum(algorithm);
  const reader = (await bodyOf(source)).stream().getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    checksum.update(read.value);
  }
  return checksum.hexDigest();
}

const UNKNOWN = { size: undefined, name: undefined, contentType: undefined, whole: undefined };

function blobBody(blob: Blob): Body {
  const name = typeof File === "function" && blob instanceof File ? blob.name : undefined;
  return {
    size: blob.size,
    name,
    contentType: blob.type || undefined,
    whole: blob,
    stream: () => blob.stream(),
  };
}
