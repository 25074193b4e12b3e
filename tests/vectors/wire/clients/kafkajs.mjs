// Produces the two records of capture.py with kafkajs: kafkajs.mjs <bootstrap> <topic> <codec>.
import kafkajs from "kafkajs";

const [bootstrap, topic, codec] = process.argv.slice(2);
const { CompressionTypes, Kafka, logLevel } = kafkajs;
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
const producer = kafka.producer();
await producer.connect();
await producer.send({
  topic,
  acks: -1,
  compression: codec === "gzip" ? CompressionTypes.GZIP : CompressionTypes.None,
  messages: [
    { key: "k0", value: "plain value", headers: { trace: "1" } },
    {
      key: "k1",
      value: "blob value, ".repeat(20),
      headers: { LFS_BLOB: "", "content-type": "text/plain" },
    },
  ],
});
await producer.disconnect();
