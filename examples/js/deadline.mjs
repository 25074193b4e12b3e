import { LfsError, LfsReader } from "lfsproxy-client";

const reader = LfsReader.fromEnvironment({ retryTime: 10_000 });
const stopping = new AbortController();
process.once("SIGTERM", () => stopping.abort());

/** The bytes of a record, in at most a minute, unless the process is to end. */
export async function bytesOf(payload) {
  const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(60_000)]);
  try {
    const { value } = await reader.resolveMessage(payload, { signal });
    return value;
  } catch (error) {
    console.error(error instanceof LfsError ? error.code : error.name); // AbortError or TimeoutError
    throw error;
  }
}
