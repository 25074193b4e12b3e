import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";
import { toReadable } from "lfsproxy-client/node";

const reader = LfsReader.fromEnvironment({ onMissing: "skip" });
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "files" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    const { body } = await reader.openMessage(payload);
    if (body) {
      const name = `blob-${payload.message.offset}`;
      await pipeline(toReadable(body), createWriteStream(name));
      console.log(`wrote ${name}`);
    }
  },
});
