/**
 * Resolves record values: an envelope to the blob behind it, anything else to itself.
 *
 * What happens to an envelope, in this order: it is recognised; its content_length is checked against
 * `maxSize`, its bucket and key against what is allowed; then the blob is fetched, and verified on the way.
 */

import { allocateBytes, bytesOver } from "#platform";
import { checkPlace, checkSize } from "./allowed.js";
import { type BatchOptions, type BatchRecord, inOrder, type Task } from "./batch.js";
import { BlobBytes } from "./bytes.js";
import { type Envelope, parseEnvelope } from "./envelope.js";
import { BlobMissingError, LfsError, SettingError, TooLargeError } from "./errors.js";
import { tell } from "./hooks.js";
import { checked, fromVariables, type LfsReaderOptions, type Resolution, type Settings } from "./options.js";
import type { Bytes } from "./platform/bytes.js";
import { onAbort } from "./signals.js";
import { type BlobSource, s3Source } from "./sources.js";
import { streamOfBytes } from "./streams.js";
import {
  type KafkaBatch,
  type KafkaMessage,
  type KafkaPayload,
  type Opened,
  type ReadOptions,
  type Resolved,
  unpacked,
} from "./values.js";
import { type End, VerifiedBlob } from "./verified.js";

/** A blob that is being read. */
interface Started {
  readonly blob: VerifiedBlob;
  readonly bytes: BlobBytes;
  readonly envelope: Envelope;
}

/** Reads the blobs behind envelopes. One reader serves any number of reads at once. */
export class LfsReader {
  readonly #source: BlobSource;
  readonly #buckets: ReadonlySet<string>;
  readonly #checksPlace: boolean;
  readonly #settings: Settings;
  readonly #onResolve: LfsReaderOptions["onResolve"];

  /** Throws SettingError for an option that cannot be used. */
  constructor(options: LfsReaderOptions) {
    this.#settings = checked(options);
    this.#source = options.source ?? s3Source(options);
    this.#buckets = new Set(this.#settings.buckets);
    this.#checksPlace = this.#source.byRecord !== true || this.#buckets.size > 0;
    if (this.#checksPlace && this.#buckets.size === 0) {
      throw new SettingError("bucket or buckets is needed: the buckets that envelopes may point to");
    }
    this.#onResolve = options.onResolve;
  }

  /**
   * A reader by the proxy's own variables: LFS_S3_BUCKET, _ENDPOINT, _REGION (else AWS_REGION or AWS_DEFAULT_REGION),
   * _PATH_STYLE and _CA (else AWS_CA_BUNDLE). `options` win, unless they are undefined. Throws SettingError for a
   * variable that cannot be used. In a browser there is no environment.
   */
  static fromEnvironment(
    options: LfsReaderOptions = {},
    variables?: Readonly<Record<string, string | undefined>>,
  ): LfsReader {
    return new LfsReader(fromVariables(options, variables));
  }

  /**
   * The blob behind an envelope, whole and verified; any other value as it is.
   *
   * Rejects with InvalidEnvelopeError, UnsupportedEnvelopeError, TooLargeError, EnvelopeNotAllowedError,
   * BlobMissingError, BlobTruncatedError, ChecksumMismatchError, StoreRefusedError, StoreUnavailableError
   * (after own tries), ReadInterruptedError, or the signal's reason.
   */
  async resolve<V extends Uint8Array = Bytes>(
    value: V | null | undefined,
    options: ReadOptions = {},
  ): Promise<Resolved<V>> {
    const opened = await this.#start(value ?? null, options, true);
    if (!("blob" in opened)) {
      return opened;
    }
    const { blob, bytes, envelope } = opened;
    try {
      return { value: await whole(blob, envelope, bytes.lengthConfirmed), envelope, missing: false };
    } catch (error) {
      return this.#instead(blob.fail(error), value ?? null, envelope); // it may have vanished between two tries
    }
  }

  /** The same in chunks, with the memory of one chunk. The stream errors as `resolve` rejects. */
  async open(value: Uint8Array | null | undefined, options: ReadOptions = {}): Promise<Opened> {
    const opened = await this.#start(value ?? null, options, false);
    if ("blob" in opened) {
      return { body: opened.blob.stream(), envelope: opened.envelope, missing: false };
    }
    const { value: bytes, envelope, missing } = opened;
    return { body: bytes === null ? null : streamOfBytes(bytes), envelope, missing };
  }

  /** `resolve` for what a Kafka client hands over: a message, or a payload, whose coordinates are used too. */
  resolveMessage<V extends Uint8Array = Bytes>(
    message: KafkaMessage<V> | KafkaPayload<V>,
    options: ReadOptions = {},
  ): Promise<Resolved<V>> {
    const { value, record } = unpacked(message);
    return this.resolve(value, { record, ...options });
  }

  /** `open` for what a Kafka client hands over. */
  openMessage(message: KafkaMessage | KafkaPayload, options: ReadOptions = {}): Promise<Opened> {
    const { value, record } = unpacked(message);
    return this.open(value, { record, ...options });
  }

  /**
   * `resolve` for many records, some at a time: kafkajs's `batch`, or messages or payloads. They come in their order.
   * A record that fails comes in its place, with its `error`: its `value` throws it. Leaving the iteration ends the
   * fetches. Throws SettingError at once for an option that cannot be used.
   */
  resolveBatch<Message extends KafkaMessage | KafkaPayload>(
    messages: Iterable<Message> | (KafkaBatch & { readonly messages: readonly Message[] }),
    options: BatchOptions = {},
  ): AsyncGenerator<BatchRecord<Message, ValueOf<Message>>, void, undefined> {
    const { topic, partition } = "messages" in messages ? messages : { topic: undefined, partition: undefined };
    const tasks = Array.from("messages" in messages ? messages.messages : messages, (message) => {
      const { value, record } =
        topic === undefined || partition === undefined || "message" in message
          ? unpacked(message)
          : unpacked({ topic, partition, message });
      return this.#task(message, value as ValueOf<Message> | null | undefined, { record });
    });
    return inOrder(tasks, options);
  }

  #task<Message, V extends Uint8Array>(
    message: Message,
    value: V | null | undefined,
    options: ReadOptions,
  ): Task<Message, V> {
    return { message, size: sizeOf(value ?? null), resolve: (signal) => this.resolve(value, { ...options, signal }) };
  }

  async #start<V extends Uint8Array>(
    value: V | null,
    { record, signal, onProgress }: ReadOptions,
    isWhole: boolean,
  ): Promise<Resolved<V> | Started> {
    const envelope = parseEnvelope(value);
    if (envelope === null) {
      return { value, envelope, missing: false };
    }
    const started = performance.now();
    const bytes = new BlobBytes(this.#source, envelope, record, this.#settings.patience);
    let release = (): void => undefined;
    const ended = (size: number, end: End): void => {
      release();
      const seconds = (performance.now() - started) / 1000;
      const error = end.how === "failed" ? end.error : null;
      const told = { envelope, result: resultOf(end), size, seconds, tries: bytes.gets, error, record: record ?? null };
      tell<Resolution>("onResolve", this.#onResolve, told);
    };
    const blob = new VerifiedBlob(bytes, envelope, { ended, onProgress });
    release = onAbort(signal, () => blob.abort(signal?.reason));
    try {
      signal?.throwIfAborted();
      checkSize(envelope, this.#settings.maxSize, isWhole);
      if (this.#checksPlace) {
        checkPlace(envelope, this.#buckets, this.#settings.prefixes);
      }
      await bytes.start();
      return { blob, bytes, envelope };
    } catch (error) {
      return this.#instead(blob.fail(error), value, envelope);
    }
  }

  /** What comes in place of a missing blob; throws any other error, and this one by default. */
  #instead<V extends Uint8Array>(error: unknown, value: V | null, envelope: Envelope): Resolved<V> {
    const { onMissing } = this.#settings;
    if (!(error instanceof BlobMissingError) || onMissing === "raise") {
      throw error;
    }
    return { value: onMissing === "envelope" ? value : null, envelope, missing: true };
  }
}

/** The bytes that a Kafka client's message has. */
export type ValueOf<Message> =
  Message extends KafkaPayload<infer V> ? V : Message extends KafkaMessage<infer V> ? V : never;

function resultOf(end: End): Resolution["result"] {
  switch (end.how) {
    case "verified":
      return "ok";
    case "closed":
      return "closed";
    case "failed":
      return end.error.code;
    case "aborted":
      return end.reason instanceof Error && end.reason.name === "TimeoutError" ? "timeout" : "cancelled";
  }
}

/** Bytes of the blob behind a value; 0 where that is not known, so that reading it says what is wrong. */
function sizeOf(value: Uint8Array | null): number {
  try {
    return parseEnvelope(value)?.content_length ?? 0;
  } catch (error) {
    if (error instanceof LfsError) {
      return 0;
    }
    throw error;
  }
}

/** Memory: the blob once where the store has confirmed its length, else twice for a moment. */
async function whole(blob: VerifiedBlob, envelope: Envelope, lengthConfirmed: boolean): Promise<Bytes> {
  if (!lengthConfirmed) {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for (let data = await blob.next(); data !== null; data = await blob.next()) {
      chunks.push(data as Uint8Array<ArrayBuffer>);
    }
    return bytesOver(await new Blob(chunks).arrayBuffer());
  }
  const bytes = allocated(envelope.content_length);
  let position = 0;
  for (let data = await blob.next(); data !== null; data = await blob.next()) {
    bytes.set(data, position);
    position += data.length;
  }
  return bytes;
}

function allocated(size: number): Bytes {
  try {
    return allocateBytes(size);
  } catch (error) {
    throw new TooLargeError(`the blob has ${size} bytes, more than one array can hold: use open`, { cause: error });
  }
}
