import { LfsReader, proxySource } from "lfsproxy-client";

/** Gives the bytes of a record. Your server tells the page the record's value and its place in Kafka. */
export async function bytesOf(value, { topic, partition, offset }, apiKey) {
  const reader = new LfsReader({ source: proxySource({ url: "http://localhost:8080", apiKey }) });
  const resolved = await reader.resolve(value, { record: { topic, partition, offset } });
  return resolved.value;
}
