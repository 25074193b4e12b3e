/** Calls of the caller's own functions, which must neither break what they are told of nor end the process. */

/** What the hook throws, or what its promise is rejected with, is reported on the console, and goes no further. */
export function tell<Told>(name: string, hook: ((told: Told) => unknown) | undefined, told: Told): void {
  const failed = (error: unknown): void => {
    console.error(`lfsproxy-client: the hook ${name} has failed`, error);
  };
  try {
    const answer = hook?.(told);
    if (isThenable(answer)) {
      answer.then(undefined, failed);
    }
  } catch (error) {
    failed(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
