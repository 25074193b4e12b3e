/** Whole blobs in browsers. By `of`, as TypeScript before 5.7 does not know which buffer an array has. */
export type Bytes = ReturnType<Uint8ArrayConstructor["of"]>;
