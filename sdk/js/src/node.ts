/** For Node.js only: its own streams. */

import { Readable } from "node:stream";
import type { ReadableStream as NodeWebStream } from "node:stream/web";

/**
 * The body of an opened blob as a Readable: it emits `error` instead of `end` where the blob is wrong, and
 * destroying it lets go of the connection.
 */
export function toReadable(body: ReadableStream<Uint8Array>): Readable {
  return Readable.fromWeb(body as NodeWebStream<Uint8Array>);
}
