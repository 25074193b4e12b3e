import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";

const reader = LfsReader.fromEnvironment();
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "batches" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
    // 4 blobs at a time, in at most 128 MiB of memory. The records come in their order.
    for await (const { message, value } of reader.resolveBatch(batch, { concurrency: 4, maxBytes: 128 * 1024 * 1024 })) {
      if (!isRunning() || isStale()) {
        break; // ends the fetches that are under way
      }
      console.log(message.offset, value?.length);
      resolveOffset(message.offset);
      await heartbeat();
    }
  },
});
