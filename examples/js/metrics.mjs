import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";
import { prometheusHook } from "lfsproxy-client/prom-client";
import { register } from "prom-client";

const reader = LfsReader.fromEnvironment({ onResolve: prometheusHook() });
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "measured" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    await reader.resolveMessage(payload);
    console.log(await register.getSingleMetricAsString("lfs_client_reads_total"));
  },
});
