/** What can go wrong. Every error carries a `code` that stays the same over versions and languages. */

/** What `code` may be, besides the names of the proxy's problems. */
export type LfsErrorCode =
  | "invalid-envelope"
  | "unsupported-envelope"
  | "envelope-not-allowed"
  | "too-large"
  | "blob-missing"
  | "blob-truncated"
  | "checksum-mismatch"
  | "store-refused"
  | "store-unavailable"
  | "read-interrupted"
  | "invalid-checksum"
  | "invalid-setting"
  | "proxy-unavailable"
  | "outcome-unknown";

const RETRIABLE: ReadonlySet<string> = new Set(["store-unavailable", "read-interrupted", "proxy-unavailable"]);

/** The base of all errors of this library. `message` is one sentence for a person, `code` is for programs. */
export class LfsError extends Error {
  /** The stable name: `blob-missing`, `checksum-mismatch`, ... The same in all SDKs of LFS Proxy. */
  readonly code: LfsErrorCode | (string & {});
  /** Whether the same call may succeed later with nothing changed. */
  readonly retriable: boolean;

  constructor(code: string, message: string, options?: ErrorOptions, retriable = RETRIABLE.has(code)) {
    super(message, options);
    this.code = code;
    this.retriable = retriable;
    this.name = new.target.name;
  }
}

/** A value that is meant as an envelope but lacks a field, or has one of the wrong type. */
export class InvalidEnvelopeError extends LfsError {
  constructor(message: string, code = "invalid-envelope") {
    super(code, message);
  }
}

/** An envelope of a version newer than this reader understands. */
export class UnsupportedEnvelopeError extends InvalidEnvelopeError {
  constructor(message: string) {
    super(message, "unsupported-envelope");
  }
}

/** An envelope that points outside the buckets and key prefixes that this reader follows. */
export class EnvelopeNotAllowedError extends LfsError {
  constructor(message: string) {
    super("envelope-not-allowed", message);
  }
}

/** A blob of more bytes than `maxSize`, or than this runtime can hold in one array. */
export class TooLargeError extends LfsError {
  constructor(message: string, options?: ErrorOptions) {
    super("too-large", message, options);
  }
}

/** The blob that an envelope names is not in the store. */
export class BlobMissingError extends LfsError {
  constructor(message: string) {
    super("blob-missing", message);
  }
}

/** The blob's length is not the envelope's `content_length`. */
export class BlobTruncatedError extends LfsError {
  constructor(message: string) {
    super("blob-truncated", message);
  }
}

/** The blob's bytes do not have the checksum that its envelope names. */
export class ChecksumMismatchError extends LfsError {
  constructor(message: string) {
    super("checksum-mismatch", message);
  }
}

/** The store says no: credentials, permissions, or the bucket's name. */
export class StoreRefusedError extends LfsError {
  constructor(message: string, options?: ErrorOptions) {
    super("store-refused", message, options);
  }
}

/** The store does not answer, after the reader's own tries. */
export class StoreUnavailableError extends LfsError {
  constructor(message: string, options?: ErrorOptions) {
    super("store-unavailable", message, options);
  }
}

/** A read was broken off by what is no error of this library (`cause`): its stream cannot be read on. */
export class ReadInterruptedError extends LfsError {
  constructor(message: string, options?: ErrorOptions) {
    super("read-interrupted", message, options);
  }
}

/** An unknown checksum algorithm, or a checksum that is not hex of its algorithm's length. */
export class InvalidChecksumError extends LfsError {
  constructor(message: string) {
    super("invalid-checksum", message);
  }
}

/** A setting that cannot be used: one line that names the variable, its value and what is allowed. */
export class SettingError extends LfsError {
  constructor(message: string) {
    super("invalid-setting", message);
  }
}

/** What an `UploadError` knows besides its code. */
export interface UploadFailure {
  /** The HTTP status; undefined where no answer came. */
  status?: number;
  /** The proxy's `application/problem+json` (RFC 9457) as it came. */
  problem?: Readonly<Record<string, unknown>>;
  /** Seconds after which another try makes sense, by Retry-After. */
  retryAfter?: number;
}

/** Statuses by which the proxy says that the same request may be taken later. */
const LATER: ReadonlySet<number | undefined> = new Set([408, 429, 503]);

/**
 * An upload that the proxy did not take. `code` is the last part of the problem's type (`too-large`,
 * `unknown-topic`, ...), `proxy-unavailable` where the proxy could not be reached, broke off before it had the whole
 * body, or said 503 without a reason, or `outcome-unknown` where the record may have been published. It is
 * `retriable` where nothing was published and the same upload may succeed later.
 */
export class UploadError extends LfsError {
  readonly status: number | undefined;
  readonly problem: Readonly<Record<string, unknown>> | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: string, message: string, failure: UploadFailure = {}, options?: ErrorOptions) {
    super(code, message, options, RETRIABLE.has(code) || LATER.has(failure.status));
    this.status = failure.status;
    this.problem = failure.problem;
    this.retryAfter = failure.retryAfter;
  }
}
