import { Kafka } from "kafkajs";
import { markLarge } from "lfsproxy-client";

const producer = new Kafka({ brokers: ["localhost:19092"] }).producer();
await producer.connect();
const messages = [
  { key: "small", value: "an ordinary value" },
  { key: "large", value: Buffer.alloc(2 * 1024 * 1024, "large") },
];
await producer.send({
  topic: "demo-topic",
  messages: messages.map((message) => markLarge(message, { markMinSize: 500_000, markChecksum: true })),
});
await producer.disconnect();
console.log("published");
