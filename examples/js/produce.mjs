import { Kafka } from "kafkajs";
import { lfsHeaders } from "lfsproxy-client";

const producer = new Kafka({ brokers: ["localhost:19092"] }).producer();
await producer.connect();
const value = Buffer.alloc(10 * 1024 * 1024, "large");
const [{ partition, baseOffset }] = await producer.send({
  topic: "demo-topic",
  messages: [{ value, headers: lfsHeaders({ contentType: "text/plain" }) }],
});
console.log(`published at ${partition}:${baseOffset}`);
await producer.disconnect();
