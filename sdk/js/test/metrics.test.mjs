/** What the hooks for Prometheus and OpenTelemetry count. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { afterEach, beforeEach, test } from "node:test";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { LfsReader } from "lfsproxy-client";
import { openTelemetryHook } from "lfsproxy-client/opentelemetry";
import { prometheusHook } from "lfsproxy-client/prom-client";
import { Registry, register } from "prom-client";
import { envelopeOf, KEY, optionsFor, startStore } from "./fake-store.mjs";

const BODY = Buffer.alloc(1000);
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
let store;

beforeEach(async () => {
  store = await startStore();
  store.put("kafscale", KEY, BODY);
});
afterEach(() => store.close());

/** Two blobs of topic "t", one of no known topic that is missing. */
async function readSome(onResolve) {
  const reader = new LfsReader(optionsFor(store, { onResolve }));
  const payload = { topic: "t", partition: 0, message: { value: envelopeOf(BODY), offset: "1" } };
  await reader.resolveMessage(payload);
  await reader.resolveMessage(payload);
  await assert.rejects(reader.resolve(envelopeOf(BODY, { s3_key: "lfs/gone" })));
}

test("prom-client has the reads by topic and result, their bytes and their seconds", async () => {
  const registry = new Registry();
  await readSome(prometheusHook(registry));
  await readSome(prometheusHook(registry)); // a second reader counts in the same ones
  const text = await registry.metrics();
  for (const line of [
    'lfs_client_reads_total{topic="t",result="ok"} 4',
    'lfs_client_reads_total{topic="",result="blob-missing"} 2',
    `lfs_client_read_bytes_total{topic="t"} ${4 * BODY.length}`,
    "lfs_client_read_seconds_count 6",
    'lfs_client_read_seconds_bucket{le="300"} 6',
  ]) {
    assert.ok(text.split("\n").includes(line), `${line} is not in\n${text}`);
  }
  const bounds = [...text.matchAll(/lfs_client_read_seconds_bucket\{le="([\d.]+)"/g)].map(([, bound]) => Number(bound));
  assert.deepEqual(bounds, BOUNDS);
});

test("prom-client's own registry is the default", async () => {
  prometheusHook();
  assert.notEqual(register.getSingleMetric("lfs_client_reads_total"), undefined);
  register.clear();
});

test("OpenTelemetry has the same by its own names", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const exporting = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: 1e9,
    exportTimeoutMillis: 1e6,
  });
  const provider = new MeterProvider({ readers: [exporting] });
  await readSome(openTelemetryHook(provider.getMeter("test")));
  await provider.forceFlush();
  const [{ scopeMetrics }] = exporter.getMetrics();
  const found = new Map(scopeMetrics[0].metrics.map((metric) => [metric.descriptor.name, metric]));
  const points = (name) => found.get(name).dataPoints.map(({ attributes, value }) => [attributes, value]);
  assert.deepEqual(points("lfs.client.reads"), [
    [{ topic: "t", result: "ok" }, 2],
    [{ topic: "", result: "blob-missing" }, 1],
  ]);
  assert.deepEqual(points("lfs.client.read.bytes"), [
    [{ topic: "t" }, 2 * BODY.length],
    [{ topic: "" }, 0],
  ]);
  const [[, { count, buckets }]] = points("lfs.client.read.duration");
  assert.deepEqual([count, buckets.boundaries], [3, BOUNDS]);
  assert.deepEqual(
    ["lfs.client.read.bytes", "lfs.client.read.duration"].map((name) => found.get(name).descriptor.unit),
    ["By", "s"],
  );
  await provider.shutdown();
});

test("without a provider OpenTelemetry counts nowhere, and nothing breaks", () => readSome(openTelemetryHook()));

test("they come as CommonJS too", async () => {
  const require = createRequire(import.meta.url);
  const registry = new Registry();
  await readSome(require("lfsproxy-client/prom-client").prometheusHook(registry));
  assert.match(await registry.metrics(), /lfs_client_reads_total\{topic="t",result="ok"\} 2/);
  await readSome(require("lfsproxy-client/opentelemetry").openTelemetryHook());
  assert.equal(typeof require("lfsproxy-client/client-s3").s3ClientSource, "function");
});
