/** How the types are used, by programs that `tsc` only checks: those of kafkajs, and the shape of Confluent's. */

import type { Readable } from "node:stream";
import type { EachMessagePayload, Message } from "kafkajs";
import { BlobMissingError, type Envelope, LfsError, LfsReader, lfsHeaders, proxySource, upload } from "lfsproxy-client";
import { toReadable } from "lfsproxy-client/node";

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

const reader = LfsReader.fromEnvironment({ onMissing: "skip", onResolve: ({ seconds }) => void seconds.toFixed() });

export async function eachMessage(payload: EachMessagePayload): Promise<Readable | null> {
  const { value, envelope, missing } = await reader.resolveMessage(payload);
  const both: [Uint8Array | null, Envelope | null, boolean] = [value, envelope, missing];
  const { body } = await reader.openMessage(payload.message, { signal: AbortSignal.timeout(1000) });
  return both[2] || body === null ? null : toReadable(body);
}

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
