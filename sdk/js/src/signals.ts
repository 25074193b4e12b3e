/** One listener for a signal, however many reads it may end: runtimes warn of more than ten as of a leak. */

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly stop: () => void;
}

const listened = new WeakMap<AbortSignal, Listening>();

/**
 * Calls `stopped` once when the signal is aborted, at once where that has happened. The function that comes back
 * takes this back, so that a signal which outlives many reads keeps nothing of them.
 */
export function onAbort(signal: AbortSignal | undefined, stopped: () => void): () => void {
  if (signal?.aborted) {
    stopped();
  }
  if (signal === undefined || signal.aborted) {
    return () => undefined;
  }
  const { callbacks, stop } = listened.get(signal) ?? listenTo(signal);
  callbacks.add(stopped);
  return () => {
    if (callbacks.delete(stopped) && callbacks.size === 0) {
      stop();
    }
  };
}

function listenTo(signal: AbortSignal): Listening {
  const callbacks = new Set<() => void>();
  const aborted = (): void => {
    stop();
    for (const callback of callbacks) {
      callback();
    }
  };
  const stop = (): void => {
    signal.removeEventListener("abort", aborted);
    listened.delete(signal);
  };
  signal.addEventListener("abort", aborted);
  const listening = { callbacks, stop };
  listened.set(signal, listening);
  return listening;
}
