import { metrics } from "@opentelemetry/api";
import { ConsoleMetricExporter, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";
import { openTelemetryHook } from "lfsproxy-client/opentelemetry";

const exporting = new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter(), exportIntervalMillis: 5000 });
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporting] }));

const reader = LfsReader.fromEnvironment({ onResolve: openTelemetryHook() });
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "telemetry" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({ eachMessage: async (payload) => void (await reader.resolveMessage(payload)) });
