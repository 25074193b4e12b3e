// kafkajs's consumer, as the package readers describes it. It has only consumers in a group.
import crypto from "node:crypto";
import fs from "node:fs";
import { decompress as unzstd } from "fzstd";
import kafkajs from "kafkajs";
import snappy from "kafkajs-snappy";
import { decompressFrame } from "lz4-napi";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({ decompress: decompressFrame });
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ decompress: async (data) => Buffer.from(unzstd(data)) });

const job = JSON.parse(fs.readFileSync(0));
const kafka = new Kafka({ clientId: job.client_id, brokers: [job.bootstrap], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({
  groupId: `kafkajs-${crypto.randomUUID()}`,
  rackId: job.rack,
  readUncommitted: !job.committed,
  maxWaitTimeInMs: 100,
  maxBytes: job.max_bytes,
  maxBytesPerPartition: job.partition_max_bytes,
});
const place = (topic, partition) => `${topic}/${partition}`;
const open = new Map(job.parts.map((part) => [place(part.topic, part.partition), BigInt(part.until)]));
const base64 = (data) => (data === null || data === undefined ? null : Buffer.from(data).toString("base64"));

function headersOf(message) {
  return Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, base64(one)]),
  );
}

function print(topic, partition, message) {
  const line = {
    topic,
    partition,
    offset: Number(message.offset),
    key: base64(message.key),
    timestamp: Number(message.timestamp),
    timestamp_type: null,
    headers: headersOf(message),
    length: message.value === null ? -1 : message.value.length,
    sha256: message.value === null ? "" : crypto.createHash("sha256").update(message.value).digest("hex"),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const done = new Promise((resolve) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    console.error(payload.error);
    process.exit(1);
  });
  const eachBatch = async ({ batch: { topic, partition, messages } }) => {
    for (const message of messages) {
      print(topic, partition, message);
      if (BigInt(message.offset) >= (open.get(place(topic, partition)) ?? Infinity)) {
        open.delete(place(topic, partition));
      }
    }
    if (open.size === 0) {
      resolve();
    }
  };
  consumer
    .connect()
    .then(() => consumer.subscribe({ topics: [...new Set(job.parts.map((part) => part.topic))], fromBeginning: true }))
    .then(() => consumer.run({ eachBatchAutoResolve: true, autoCommit: false, eachBatch }))
    .then(() => {
      for (const { topic, partition, start } of job.parts) {
        consumer.seek({ topic, partition, offset: String(start) });
      }
    });
});
await done;
await consumer.disconnect();
