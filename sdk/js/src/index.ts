/** LFS Proxy for JavaScript: recognise envelopes in Kafka records, read the blobs behind them, and upload. */

export { type BodySource, checksumOf } from "./bodies.js";
export type { ChecksumAlgorithm } from "./checksums.js";
export { type Envelope, parseEnvelope } from "./envelope.js";
export * from "./errors.js";
export type { Credentials, CredentialsProvider } from "./platform/types.js";
export { type LfsHeaderOptions, lfsHeaders } from "./producing.js";
export {
  type KafkaMessage,
  type KafkaPayload,
  LfsReader,
  type LfsReaderOptions,
  type OnMissing,
  type Opened,
  type ReadOptions,
  type Resolution,
  type Resolved,
} from "./reader.js";
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
