/** The memory of a streamed read is that of some chunks: the driver, in a process of its own, reads from here. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { LfsReader } from "lfsproxy-client";
import { envelopeOf, startStore } from "./fake-store.mjs";

const MIB = 1024 * 1024;
const SIZE = Number(process.env.LFS_TEST_MIB ?? 256) * MIB;
const ALLOWED = 150 * MIB;
const PIECE = Buffer.alloc(MIB, "a piece of a large blob ");

const CONFIGURED = {
  op: "configure",
  bucket: "kafscale",
  region: "us-east-1",
  path_style: true,
  prefixes: ["lfs/"],
  max_size: 0,
  on_missing: "raise",
};

let store;

before(async () => {
  store = await startStore((_request, response) => {
    response.writeHead(200, { "content-length": SIZE });
    response.on("drain", send);
    let left = SIZE;
    function send() {
      while (left > 0) {
        left -= PIECE.length;
        if (!response.write(PIECE)) {
          return;
        }
      }
      response.end();
    }
    send();
    return true;
  });
});
after(() => store.close());

/** Starts the driver; the function asks it one thing. */
function startDriver(context) {
  const child = spawn(process.execPath, [new URL("driver.mjs", import.meta.url).pathname], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" },
  });
  context.after(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async (question) => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return JSON.parse((await lines.next()).value);
  };
}

function largeEnvelope() {
  const hash = createHash("sha256");
  for (let done = 0; done < SIZE; done += PIECE.length) {
    hash.update(PIECE);
  }
  return envelopeOf(PIECE, { content_length: SIZE, checksum: hash.digest("hex") });
}

test(`${SIZE / MIB} MiB are streamed in less than ${ALLOWED / MIB} MiB above the idle process`, async (context) => {
  const value = largeEnvelope();
  const ask = startDriver(context);
  await ask({ ...CONFIGURED, endpoint: store.endpoint });
  const idle = await ask({ op: "memory" });
  const read = await ask({ op: "stream", value: value.toString("base64") });
  const { checksum } = JSON.parse(value);
  assert.deepEqual(read, { outcome: "blob", length: SIZE, sha256: checksum, message: "" });
  const { peak } = await ask({ op: "memory" });
  context.diagnostic(`idle ${Math.round(idle.rss / MIB)} MiB, peak ${Math.round(peak / MIB)} MiB`);
  assert.ok(peak - idle.rss < ALLOWED, `${peak - idle.rss} bytes above the idle process`);
});

test("the driver polls: values in their order, a failure in its place", async (context) => {
  const ask = startDriver(context);
  await ask({ ...CONFIGURED, endpoint: store.endpoint, max_size: 10 });
  const values = [Buffer.from("hello"), null, largeEnvelope()].map((value) => value?.toString("base64") ?? null);
  const { outcome, records } = await ask({ op: "poll", values, concurrency: 2, max_bytes: 1 });
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  assert.equal(outcome, "ok");
  assert.deepEqual(records.slice(0, 2), [
    { outcome: "ordinary", length: 5, sha256: sha256("hello"), message: "" },
    { outcome: "ordinary", length: 0, sha256: sha256(""), message: "" },
  ]);
  assert.match(records[2].message, /maxSize/);
  assert.deepEqual({ ...records[2], message: "" }, { outcome: "too-large", length: null, sha256: null, message: "" });
});

test("no more is taken from the store than is read", async () => {
  let taken = 0;
  const body = new ReadableStream(
    {
      pull(controller) {
        taken += 1;
        controller.enqueue(PIECE);
      },
    },
    { highWaterMark: 0 },
  );
  const source = { get: () => Promise.resolve(new Response(body)) };
  const opened = await new LfsReader({ bucket: "kafscale", source }).open(largeEnvelope());
  await new Promise(setImmediate);
  assert.equal(taken, 0);
  const reader = opened.body.getReader();
  for (let read = 1; read <= 5; read += 1) {
    await reader.read();
    await new Promise(setImmediate);
    assert.equal(taken, read);
  }
  await reader.cancel();
});
