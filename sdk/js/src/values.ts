/** What goes into a reader and comes out of it. */

import type { Envelope } from "./envelope.js";
import type { Bytes } from "./platform/bytes.js";
import type { RecordCoordinates } from "./sources.js";

/** What one call of `resolve` or `open` may be told. */
export interface ReadOptions {
  /** Where the record is; needed by sources that read by record (the proxy's). */
  readonly record?: RecordCoordinates | undefined;
  /** Ends the read; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the blob received so far; the whole length once it is verified. Not called for ordinary values. */
  readonly onProgress?: ((received: number) => void) | undefined;
}

/** A value and where it came from. */
export interface Resolved<V extends Uint8Array = Bytes> {
  /** The blob's bytes: a Buffer in Node.js. An ordinary value as it was. */
  readonly value: V | Bytes | null;
  /** null where the value was an ordinary one. */
  readonly envelope: Envelope | null;
  /**
   * Whether the blob is not in the store: then `value` is null, or the envelope's bytes, by `onMissing`. A null that
   * is a tombstone is not missing.
   */
  readonly missing: boolean;
}

/** A value as a stream and where it came from. */
export interface Opened {
  /**
   * The blob's bytes; an ordinary value as it was. Read it to its end or cancel it. It errors instead of
   * closing where the blob is wrong. null for a null value, and for a missing blob that is skipped.
   */
  readonly body: ReadableStream<Uint8Array> | null;
  readonly envelope: Envelope | null;
  /** Whether the blob is not in the store; false for a null value, a tombstone. */
  readonly missing: boolean;
}

/** A record as Kafka clients for JavaScript hand it over: kafkajs and @confluentinc/kafka-javascript. */
export interface KafkaMessage<V extends Uint8Array = Uint8Array> {
  readonly value?: V | null | undefined;
  readonly offset?: string;
}

/** What `eachMessage` of these clients is called with. */
export interface KafkaPayload<V extends Uint8Array = Uint8Array> {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage<V>;
}

/** The `batch` that `eachBatch` of these clients is called with. */
export interface KafkaBatch<Message extends KafkaMessage = KafkaMessage> {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly Message[];
}

/** The value of what a Kafka client hands over, and where the record is, as far as it says. */
export function unpacked<V extends Uint8Array>(
  given: KafkaMessage<V> | KafkaPayload<V>,
): { readonly value: V | null | undefined; readonly record: RecordCoordinates | undefined } {
  if (!("message" in given)) {
    return { value: given.value, record: undefined };
  }
  const { topic, partition, message } = given;
  const record = message.offset === undefined ? undefined : { topic, partition, offset: message.offset };
  return { value: message.value, record };
}
