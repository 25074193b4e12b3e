/** LFS Proxy for JavaScript: recognise envelopes in Kafka records, read the blobs behind them, and upload. */

export type { BatchOptions, BatchRecord } from "./batch.js";
export { type BodySource, checksumOf } from "./bodies.js";
export type { ChecksumAlgorithm } from "./checksums.js";
export { type Envelope, parseEnvelope } from "./envelope.js";
export * from "./errors.js";
export type { LfsReaderOptions, OnMissing, Resolution } from "./options.js";
export type { Bytes } from "./platform/bytes.js";
export type { Credentials, CredentialsProvider } from "./platform/types.js";
export {
  type LfsHeaderOptions,
  lfsHeaders,
  type MarkOptions,
  markLarge,
  type ProducerMessage,
} from "./producing.js";
export { LfsReader } from "./reader.js";
export {
  type BlobRequest,
  type BlobSource,
  type ProxyOptions,
  presignedSource,
  proxySource,
  type RecordCoordinates,
  type S3Options,
  s3Source,
} from "./sources.js";
export { type Uploaded, type UploadOptions, upload } from "./upload.js";
export type { KafkaBatch, KafkaMessage, KafkaPayload, Opened, ReadOptions, Resolved } from "./values.js";
