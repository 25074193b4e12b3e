import { Kafka } from "kafkajs";
import { LfsError, LfsReader } from "lfsproxy-client";

const reader = LfsReader.fromEnvironment();
const kafka = new Kafka({ brokers: ["localhost:19092"] });
const producer = kafka.producer();
const consumer = kafka.consumer({ groupId: "careful" });
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    const { message } = payload;
    let resolved;
    try {
      resolved = await reader.resolveMessage(payload);
    } catch (error) {
      if (!(error instanceof LfsError) || error.retriable) {
        throw error; // kafkajs gives the record again, after a pause
      }
      // This record will fail each time: put its envelope aside, and go on with the next one.
      const headers = { ...message.headers, error: error.code };
      const { key, value } = message;
      await producer.send({ topic: "dead-letters", messages: [{ key, value, headers }] });
      console.log(message.offset, "put aside:", error.code);
      return;
    }
    console.log(message.offset, resolved.value?.length);
  },
});
