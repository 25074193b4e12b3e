/**
 * Whole blobs in Node.js: a Buffer, as Kafka clients give their values; a Uint8Array where the project has no types
 * of Node.js. The build for browsers has bytes-browser.ts in its place.
 */
export type Bytes = typeof globalThis extends { Buffer: { alloc(size: number): infer Made extends Uint8Array } }
  ? Made
  : ReturnType<Uint8ArrayConstructor["of"]>;
