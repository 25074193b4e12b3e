/** The histogram's bounds in seconds: from a small blob nearby to some gigabytes. The same in all SDKs. */
export const BUCKETS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
