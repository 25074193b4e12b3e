/** Metrics of a reader for OpenTelemetry. */

import { type Meter, metrics } from "@opentelemetry/api";
import { BUCKETS } from "./buckets.js";
import type { Resolution } from "./options.js";

/**
 * A hook for `onResolve` that records by `meter` (default: the global provider's): the counters lfs.client.reads
 * {topic, result} and lfs.client.read.bytes {topic} in By, and the histogram lfs.client.read.duration in s. `topic` is
 * empty where the reader was given no record.
 */
export function openTelemetryHook(
  meter: Meter = metrics.getMeter("lfsproxy-client"),
): (resolution: Resolution) => void {
  const reads = meter.createCounter("lfs.client.reads", {
    description: "Envelopes that were dealt with, by what came of them",
  });
  const bytes = meter.createCounter("lfs.client.read.bytes", { unit: "By", description: "Bytes of blobs received" });
  const duration = meter.createHistogram("lfs.client.read.duration", {
    unit: "s",
    description: "From the start of a blob's fetch to its end",
    advice: { explicitBucketBoundaries: [...BUCKETS] },
  });
  return ({ result, size, seconds, record }) => {
    const topic = record?.topic ?? "";
    reads.add(1, { topic, result });
    bytes.add(size, { topic });
    duration.record(seconds);
  };
}
