/** How the types are used, by programs that `tsc` only checks: those of kafkajs, and the shape of Confluent's. */

import type { Readable } from "node:stream";
import { S3Client } from "@aws-sdk/client-s3";
import type { EachBatchPayload, EachMessagePayload, Message } from "kafkajs";
import {
  BlobMissingError,
  type Envelope,
  LfsError,
  LfsReader,
  lfsHeaders,
  markLarge,
  proxySource,
  upload,
} from "lfsproxy-client";
import { s3ClientSource } from "lfsproxy-client/client-s3";
import { toReadable } from "lfsproxy-client/node";
import { openTelemetryHook } from "lfsproxy-client/opentelemetry";
import { prometheusHook } from "lfsproxy-client/prom-client";

/** A record to produce as @confluentinc/kafka-javascript's types/kafkajs.d.ts has it. */
interface ConfluentMessage {
  key?: Buffer | string | null;
  value: Buffer | string | null;
  partition?: number;
  headers?: { [key: string]: Buffer | string | (Buffer | string)[] | undefined };
  timestamp?: string;
}

export const produced: Message = { value: Buffer.from("large"), headers: lfsHeaders({ contentType: "image/png" }) };
export const producedByConfluent: ConfluentMessage = { value: "large", headers: lfsHeaders() };

export const marked: Message = markLarge({ key: "k", value: Buffer.from("large") }, { markChecksum: true });
export const markedForConfluent: ConfluentMessage = markLarge(producedByConfluent);

const reader = LfsReader.fromEnvironment({ onMissing: "skip", onResolve: ({ seconds }) => void seconds.toFixed() });

export async function eachMessage(payload: EachMessagePayload): Promise<Readable | null> {
  const { value, envelope, missing } = await reader.resolveMessage(payload);
  const both: [Buffer | null, Envelope | null, boolean] = [value, envelope, missing];
  const { body } = await reader.openMessage(payload.message, { signal: AbortSignal.timeout(1000) });
  return both[2] || body === null ? null : toReadable(body);
}

export async function eachBatch({ batch, resolveOffset }: EachBatchPayload): Promise<string[]> {
  const texts = [];
  for await (const record of reader.resolveBatch(batch, { concurrency: 4, signal: AbortSignal.timeout(1000) })) {
    if (record.error instanceof LfsError && !record.error.retriable) {
      continue;
    }
    const value: Buffer | null = record.value;
    texts.push(`${record.message.timestamp} ${value?.toString("utf-8")}`);
    resolveOffset(record.message.offset);
  }
  for await (const { value } of reader.resolveBatch(batch.messages)) {
    texts.push(value?.toString("hex") ?? "null");
  }
  return texts;
}

export async function values(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  const { value }: { value: Uint8Array | null } = await reader.resolve(bytes);
  const { value: text } = await reader.resolve(Buffer.from("a"), { onProgress: (received) => received.toFixed() });
  await reader.resolve(null);
  await reader.resolve(undefined);
  return value?.length === 0 ? undefined : text?.toString("base64");
}

export const hooked = [
  new LfsReader({ bucket: "b", onResolve: prometheusHook() }),
  new LfsReader({ bucket: "b", onResolve: openTelemetryHook(), retryTime: 1000, caFile: "ca.pem" }),
  new LfsReader({ bucket: "b", onResolve: async ({ record }) => console.log(record?.topic) }),
  new LfsReader({ bucket: "b", source: s3ClientSource(new S3Client({ region: "eu-west-1" })) }),
];

export async function uploads(file: File, stream: Readable): Promise<number> {
  await upload(new URL("http://localhost:8080"), "clips", file, { key: "user-1", algorithm: "md5" });
  await upload("http://localhost:8080", "clips", { path: "clip.mp4" });
  return (await upload("http://localhost:8080", "clips", stream)).offset;
}

export function codeOf(error: unknown): string {
  return error instanceof BlobMissingError || error instanceof LfsError ? error.code : "none";
}

// @ts-expect-error: an algorithm that envelopes do not have
lfsHeaders({ algorithm: "sha1" });
// @ts-expect-error: prefixes are an array
new LfsReader({ bucket: "b", prefixes: "lfs/" });
// @ts-expect-error: a text is no body
await upload("http://localhost:8080", "clips", "text");
export const byProxy = new LfsReader({ source: proxySource({ url: "http://localhost:8080", apiKey: "key" }) });
