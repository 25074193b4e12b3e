/** What Node.js and browsers do differently. `#platform` is the one or the other, by the build. */

/** A checksum being computed. */
export interface Checksum {
  update(data: Uint8Array): void;
  /** Lower-case hex. No more updates after it. */
  hexDigest(): string;
}

export type ChecksumMaker = () => Checksum;

/** S3 credentials, in the shape of the AWS SDK's. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Credentials, or a function that finds them: it is called before each request, so it may renew them. */
export type CredentialsProvider = Credentials | (() => Credentials | Promise<Credentials>);

/** A file on disk as the body of an upload. */
export interface OpenedFile {
  readonly name: string;
  /** Bytes; undefined where it is not a regular file. */
  readonly size: number | undefined;
  stream(): ReadableStream<Uint8Array>;
}
