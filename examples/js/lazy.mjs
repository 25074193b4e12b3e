import { Kafka } from "kafkajs";
import { LfsReader, parseEnvelope } from "lfsproxy-client";

const reader = LfsReader.fromEnvironment();
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "images" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    const envelope = parseEnvelope(payload.message.value); // asks the store for nothing; null for an ordinary value
    if (envelope?.content_type !== "image/png") {
      console.log(payload.message.offset, "is not an image");
      return;
    }
    const { value } = await reader.resolveMessage(payload);
    console.log(payload.message.offset, "is an image of", value?.length, "bytes");
  },
});
