/** The conformance driver: JSON lines in, one JSON line out for each. `node sdk/js/test/driver.mjs` after a build. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { checksumOf, LfsError, LfsReader, lfsHeaders, upload } from "lfsproxy-client";

let reader;

const bytesOf = (value) => (typeof value === "string" ? Buffer.from(value, "base64") : null);

function handedOver(resolved) {
  const bytes = resolved.value ?? new Uint8Array();
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { outcome: outcomeOf(resolved), length: bytes.length, sha256, message: "" };
}

function failed(error) {
  if (!(error instanceof LfsError)) {
    throw error;
  }
  return { outcome: error.code, length: null, sha256: null, message: error.message };
}

function outcomeOf({ envelope, missing }) {
  return missing ? "skipped" : envelope === null ? "ordinary" : "blob";
}

const OPERATIONS = {
  configure(options) {
    reader = LfsReader.fromEnvironment({
      bucket: options.bucket,
      endpoint: options.endpoint || undefined,
      region: options.region,
      pathStyle: options.path_style,
      prefixes: options.prefixes,
      maxSize: options.max_size,
      onMissing: options.on_missing,
    });
    return { outcome: "ok" };
  },

  async read({ value }) {
    try {
      return handedOver(await reader.resolve(bytesOf(value)));
    } catch (error) {
      return failed(error);
    }
  },

  async stream({ value }) {
    try {
      const opened = await reader.open(bytesOf(value));
      const hash = createHash("sha256");
      let length = 0;
      for await (const chunk of opened.body ?? []) {
        hash.update(chunk);
        length += chunk.length;
      }
      return { outcome: outcomeOf(opened), length, sha256: hash.digest("hex"), message: "" };
    } catch (error) {
      return failed(error);
    }
  },

  async poll({ values, concurrency, max_bytes: maxBytes }) {
    const messages = values.map((value) => ({ value: bytesOf(value) }));
    const records = [];
    for await (const record of reader.resolveBatch(messages, { concurrency, maxBytes })) {
      records.push(record.error === null ? handedOver(record) : failed(record.error));
    }
    return { outcome: "ok", records };
  },

  async produce({ bootstrap, topic, file, algorithm, content_type: contentType, expected }) {
    const producer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 2 } }).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    try {
      const checksum = expected ? await checksumOf({ path: file }, algorithm ?? "sha256") : undefined;
      await producer.connect();
      const [sent] = await producer.send({
        topic,
        acks: -1,
        messages: [{ value: await readFile(file), headers: lfsHeaders({ checksum, algorithm, contentType }) }],
      });
      return { outcome: "ok", partition: sent.partition, offset: Number(sent.baseOffset) };
    } catch (error) {
      return { outcome: "error", message: error.message };
    } finally {
      await producer.disconnect();
    }
  },

  async upload({ url, topic, file, algorithm, content_type: contentType }) {
    try {
      const { partition, offset } = await upload(url, topic, { path: file }, { algorithm, contentType });
      return { outcome: "ok", partition, offset };
    } catch (error) {
      return failed(error);
    }
  },

  /** Beyond the matrix: this process's resident memory and its peak, in bytes. */
  memory() {
    return { outcome: "ok", rss: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...options } = JSON.parse(line);
  const operation = Object.hasOwn(OPERATIONS, op) ? OPERATIONS[op] : () => ({ outcome: "unsupported" });
  process.stdout.write(`${JSON.stringify(await operation(options))}\n`);
}
