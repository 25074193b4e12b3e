/** The programs of docs/sdk/javascript.md, run as they stand: with a double of kafkajs, a store and a proxy. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { envelopeOf, KEY, startStore } from "./fake-store.mjs";

const BODY = Buffer.alloc(200_000, "what the page reads ");
const page = await readFile(new URL("../../../docs/sdk/javascript.md", import.meta.url), "utf-8");
const [consume, produce, upload, stream, ...more] = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

/** Consumers get an envelope and an ordinary value; what producers send is printed. */
const KAFKAJS = `
  const values = [Buffer.from(process.env.TEST_ENVELOPE), Buffer.from("ordinary")];
  const consumer = {
    connect: async () => {},
    subscribe: async () => {},
    run: async ({ eachMessage }) => {
      for (const [offset, value] of values.entries()) {
        await eachMessage({ topic: "demo-topic", partition: 0, message: { offset: String(offset), value } });
      }
    },
  };
  const producer = {
    connect: async () => {},
    disconnect: async () => {},
    send: async ({ messages }) => console.log(JSON.stringify([messages[0].headers, messages[0].value.length])),
  };
  export class Kafka {
    consumer() { return consumer; }
    producer() { return producer; }
  }
`;

let store;
let proxy;
let folder;
let received;

before(async () => {
  store = await startStore();
  store.put("kafscale", KEY, BODY);
  proxy = createServer(async (request, response) => {
    received = { url: request.url, body: Buffer.concat(await request.toArray()) };
    response.writeHead(201, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        topic: "demo-topic",
        partition: 1,
        offset: 7,
        timestamp: 0,
        envelope: JSON.parse(envelopeOf(BODY)),
      }),
    );
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  // Inside the package, so that its name resolves to itself.
  folder = await mkdtemp(fileURLToPath(new URL("../.page-", import.meta.url)));
  await mkdir(join(folder, "node_modules/kafkajs"), { recursive: true });
  await writeFile(join(folder, "node_modules/kafkajs/package.json"), '{"type":"module","exports":"./index.js"}');
  await writeFile(join(folder, "node_modules/kafkajs/index.js"), KAFKAJS);
  await writeFile(join(folder, "large-file.bin"), BODY);
});
after(async () => {
  await store.close();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
  await rm(folder, { recursive: true });
});

async function run(code) {
  const program = join(folder, "program.mjs");
  await writeFile(program, code.replace("http://localhost:8080", `http://127.0.0.1:${proxy.address().port}`));
  const env = {
    PATH: process.env.PATH,
    LFS_S3_ENDPOINT: store.endpoint,
    LFS_S3_PATH_STYLE: "true",
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "secret",
    TEST_ENVELOPE: envelopeOf(BODY).toString(),
  };
  const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd: folder, env });
  return stdout;
}

test("the page has the four programs that are run here", () => {
  assert.ok(stream.includes("toReadable"));
  assert.deepEqual(more, []);
});

test("the consumer prints the blob and the ordinary value", async () => {
  assert.equal(await run(consume), `0 application/octet-stream ${BODY.length}\n1 undefined 8\n`);
});

test("the producer marks its record", async () => {
  assert.deepEqual(JSON.parse(await run(produce)), [{ LFS_BLOB: "", "content-type": "text/plain" }, 10 * 1024 * 1024]);
});

test("the upload publishes the file", async () => {
  assert.equal(await run(upload), "published at 1:7\n");
  assert.deepEqual(received.body, BODY);
  assert.equal(received.url, "/v1/topics/demo-topic/records?key=k&header=lfs-filename%3Alarge-file.bin");
});

test("the streaming consumer writes the files", async () => {
  await run(stream);
  assert.deepEqual(await readFile(join(folder, "blob-0")), BODY);
  assert.equal(await readFile(join(folder, "blob-1"), "utf-8"), "ordinary");
});
