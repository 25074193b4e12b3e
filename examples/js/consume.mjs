import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";

const reader = LfsReader.fromEnvironment(); // LFS_S3_BUCKET, ..., AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "demo" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    const { value, envelope } = await reader.resolveMessage(payload); // an ordinary value comes back as it is
    console.log(payload.message.offset, envelope?.content_type, value?.length);
  },
});
