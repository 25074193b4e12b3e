/** The blobs of many records at once: in the records' order, in memory bounded by bytes. */

import type { Envelope } from "./envelope.js";
import { checkNumber } from "./options.js";
import type { Bytes } from "./platform/bytes.js";
import { onAbort } from "./signals.js";
import type { Resolved } from "./values.js";

export interface BatchOptions {
  /** Blobs that are fetched at a time. Default: 8. */
  readonly concurrency?: number | undefined;
  /**
   * Most bytes of blobs that are held, counted from the start of a fetch until the record is handed over. A larger
   * blob is fetched alone. Default: 268435456 (256 MiB).
   */
  readonly maxBytes?: number | undefined;
  /** Ends all fetches; the iteration throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** One record of a batch: `value`, `envelope` and `missing` are as `resolve` gives them. */
export class BatchRecord<Message, V extends Uint8Array = Bytes> {
  /** The message as it was given. */
  readonly message: Message;
  /** What has failed for this record alone; null where nothing has. */
  readonly error: Error | null;
  readonly #resolved: Resolved<V> | undefined;

  constructor(message: Message, resolved: Resolved<V> | undefined, error: Error | null) {
    this.message = message;
    this.#resolved = resolved;
    this.error = error;
  }

  /** Throws `error` where there is one, so that a failure is never taken for a null value. */
  get value(): V | Bytes | null {
    return this.#given.value;
  }

  /** Throws as `value` does. */
  get envelope(): Envelope | null {
    return this.#given.envelope;
  }

  /** Throws as `value` does. */
  get missing(): boolean {
    return this.#given.missing;
  }

  get #given(): Resolved<V> {
    if (this.#resolved === undefined) {
      throw this.error;
    }
    return this.#resolved;
  }
}

/** A record to resolve. */
export interface Task<Message, V extends Uint8Array> {
  readonly message: Message;
  /** Bytes of its blob; 0 where it has none. */
  readonly size: number;
  resolve(signal: AbortSignal): Promise<Resolved<V>>;
}

/** Why the rest of a batch is not read: whoever iterated has stopped. */
const LEFT = new Error("the iteration of the batch has ended");

/** Throws SettingError at once for an option that cannot be used. */
export function inOrder<Message, V extends Uint8Array>(
  tasks: readonly Task<Message, V>[],
  { concurrency = 8, maxBytes = 256 * 1024 * 1024, signal }: BatchOptions,
): AsyncGenerator<BatchRecord<Message, V>, void, undefined> {
  checkNumber("concurrency", concurrency, 1);
  checkNumber("maxBytes", maxBytes, 0);
  return resolveInOrder(tasks, concurrency, maxBytes, signal);
}

async function* resolveInOrder<Message, V extends Uint8Array>(
  tasks: readonly Task<Message, V>[],
  concurrency: number,
  maxBytes: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<BatchRecord<Message, V>, void, undefined> {
  const stopping = new AbortController();
  /** Records that are being fetched or wait for their turn, the next in order first. */
  const ahead: { readonly size: number; readonly record: Promise<BatchRecord<Message, V>> }[] = [];
  const waiting = tasks.values();
  let next = waiting.next();
  let running = 0;
  let held = 0;

  const resolved = async ({ message, resolve }: Task<Message, V>): Promise<BatchRecord<Message, V>> => {
    try {
      return new BatchRecord<Message, V>(message, await resolve(stopping.signal), null);
    } catch (error) {
      return new BatchRecord<Message, V>(message, undefined, error instanceof Error ? error : new Error(String(error)));
    } finally {
      running -= 1;
      startMore();
    }
  };
  const startMore = (): void => {
    // The next record in order always may go, however large its blob is.
    const mayGo = (size: number): boolean => ahead.length === 0 || held + size <= maxBytes;
    for (; !next.done && running < concurrency && !stopping.signal.aborted; next = waiting.next()) {
      const { size } = next.value;
      if (!mayGo(size)) {
        return;
      }
      held += size;
      running += 1;
      ahead.push({ size, record: resolved(next.value) });
    }
  };

  const release = onAbort(signal, () => stopping.abort(signal?.reason));
  try {
    signal?.throwIfAborted();
    startMore();
    for (let first = ahead[0]; first !== undefined; first = ahead[0]) {
      const record = await first.record;
      signal?.throwIfAborted();
      ahead.shift();
      held -= first.size;
      startMore(); // while the caller is at work
      yield record;
    }
  } finally {
    release();
    stopping.abort(LEFT);
  }
}
