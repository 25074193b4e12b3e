import { S3Client } from "@aws-sdk/client-s3";
import { Kafka } from "kafkajs";
import { LfsReader } from "lfsproxy-client";
import { s3ClientSource } from "lfsproxy-client/client-s3";

// Its region, endpoint, credentials and middleware are used as they are. The reader tries again by itself.
const { LFS_S3_ENDPOINT: endpoint, LFS_S3_REGION: region = "us-east-1", LFS_S3_BUCKET: bucket } = process.env;
const client = new S3Client({ endpoint, region, forcePathStyle: true, maxAttempts: 1 });
const reader = new LfsReader({ bucket, source: s3ClientSource(client) });
const consumer = new Kafka({ brokers: ["localhost:19092"] }).consumer({ groupId: "aws" });
await consumer.connect();
await consumer.subscribe({ topic: "demo-topic", fromBeginning: true });
await consumer.run({
  eachMessage: async (payload) => {
    const { value } = await reader.resolveMessage(payload);
    console.log(payload.message.offset, value?.length);
  },
});
