/** Metrics of a reader for Prometheus, by prom-client. */

import { Counter, Histogram, type Registry, register } from "prom-client";
import { BUCKETS } from "./buckets.js";
import type { Resolution } from "./options.js";

/**
 * A hook for `onResolve` that counts in `registry` (default: prom-client's own): lfs_client_reads_total{topic,result},
 * lfs_client_read_bytes_total{topic} and the histogram lfs_client_read_seconds. `topic` is empty where the reader was
 * given no record. Several readers may count in one registry.
 */
export function prometheusHook(registry: Registry = register): (resolution: Resolution) => void {
  const reads = found<Counter<"topic" | "result">>(registry, "lfs_client_reads_total") ?? newReads(registry);
  const bytes = found<Counter<"topic">>(registry, "lfs_client_read_bytes_total") ?? newBytes(registry);
  const duration = found<Histogram>(registry, "lfs_client_read_seconds") ?? newDuration(registry);
  return ({ result, size, seconds, record }) => {
    const topic = record?.topic ?? "";
    reads.inc({ topic, result });
    bytes.inc({ topic }, size);
    duration.observe(seconds);
  };
}

function found<Metric>(registry: Registry, name: string): Metric | undefined {
  return registry.getSingleMetric(name) as Metric | undefined;
}

function newReads(registry: Registry): Counter<"topic" | "result"> {
  return new Counter({
    name: "lfs_client_reads_total",
    help: "Envelopes that were dealt with, by what came of them",
    labelNames: ["topic", "result"],
    registers: [registry],
  });
}

function newBytes(registry: Registry): Counter<"topic"> {
  return new Counter({
    name: "lfs_client_read_bytes_total",
    help: "Bytes of blobs received",
    labelNames: ["topic"],
    registers: [registry],
  });
}

function newDuration(registry: Registry): Histogram {
  return new Histogram({
    name: "lfs_client_read_seconds",
    help: "Seconds from the start of a blob's fetch to its end",
    buckets: [...BUCKETS],
    registers: [registry],
  });
}
