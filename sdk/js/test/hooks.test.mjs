/** What the caller's own functions are told of reads. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { LfsError, LfsReader, UnsupportedEnvelopeError } from "lfsproxy-client";
import { drained, envelopeOf, fail, KEY, optionsFor, startStore } from "./fake-store.mjs";

const BODY = Buffer.alloc(1_000_000, "a blob ");
let spoil;
let store;

beforeEach(async () => {
  spoil = () => false;
  store = await startStore((...asked) => spoil(...asked));
  store.put("kafscale", KEY, BODY);
});
afterEach(() => store.close());

test("progress is told up to the whole length, once that is verified", async () => {
  for (const size of [0, 1, BODY.length]) {
    const blob = BODY.subarray(0, size);
    store.put("kafscale", KEY, blob);
    for (const read of ["resolve", "open"]) {
      const told = [];
      const options = { onProgress: (...received) => told.push(...received) };
      const found = await new LfsReader(optionsFor(store))[read](envelopeOf(blob), options);
      await (found.body && drained(found.body));
      assert.equal(told.at(-1), size);
      assert.ok(
        told.every((one, at) => Number.isInteger(one) && one >= (told[at - 1] ?? 0)),
        told.join(),
      );
    }
  }
  const told = [];
  const wrong = envelopeOf(Buffer.alloc(BODY.length));
  const options = { onProgress: (received) => told.push(received) };
  await assert.rejects(new LfsReader(optionsFor(store)).resolve(wrong, options), { code: "checksum-mismatch" });
  assert.ok(told.every((one) => one < BODY.length));
  await new LfsReader(optionsFor(store)).resolve(Buffer.from("ordinary"), {
    onProgress: () => assert.fail("an ordinary value has no progress"),
  });
});

test("the hook is told of each envelope once", async () => {
  const told = [];
  const reader = new LfsReader(optionsFor(store, { maxSize: BODY.length, onResolve: (one) => told.push(one) }));
  await reader.resolve(Buffer.from("ordinary"));
  await reader.resolve(envelopeOf(BODY));
  await drained((await reader.open(envelopeOf(BODY))).body);
  const early = (await reader.open(envelopeOf(BODY))).body.getReader();
  const { value: first } = await early.read();
  await early.cancel();
  await assert.rejects(reader.resolve(envelopeOf(Buffer.from("x"), { content_length: BODY.length })), LfsError);
  await assert.rejects(reader.resolve(envelopeOf(BODY, { content_length: BODY.length + 1 })), LfsError);
  await assert.rejects(reader.resolve(envelopeOf(BODY, { lfs_version: 2 })), UnsupportedEnvelopeError);
  assert.deepEqual(
    told.map(({ result, size, tries, error, record }) => [result, size, tries, error?.code ?? error, record]),
    [
      ["ok", BODY.length, 1, null, null],
      ["ok", BODY.length, 1, null, null],
      ["closed", first.length, 1, null, null],
      ["checksum-mismatch", BODY.length, 1, "checksum-mismatch", null],
      ["too-large", 0, 0, "too-large", null],
    ],
  );
  assert.ok(told.every((one) => one.seconds >= 0 && one.seconds < 60 && one.envelope.s3_key === KEY));
});

test("the hook is told how many GETs were sent, and of which record", async () => {
  const told = [];
  let left = 2;
  spoil = (_request, response) => left-- > 0 && fail(response, 503, "SlowDown");
  const reader = new LfsReader(optionsFor(store, { onResolve: ({ tries, record }) => told.push([tries, record]) }));
  const message = { value: envelopeOf(BODY), offset: "42" };
  await reader.resolveMessage({ topic: "t", partition: 3, message });
  assert.deepEqual(told, [[3, { topic: "t", partition: 3, offset: "42" }]]);
});

test("a hook that throws or rejects does not spoil the read, and is reported", async (context) => {
  const reported = context.mock.method(console, "error", () => undefined);
  const throwing = () => {
    throw new Error("broken hook");
  };
  for (const hook of [throwing, async () => throwing()]) {
    const reader = new LfsReader(optionsFor(store, { onResolve: hook }));
    const { value } = await reader.resolve(envelopeOf(Buffer.from(BODY)), { onProgress: hook });
    assert.equal(value.length, BODY.length);
  }
  await new Promise(setImmediate); // an unhandled rejection would fail this test
  const names = new Set(reported.mock.calls.map(({ arguments: [text] }) => text));
  assert.deepEqual(
    [...names],
    ["lfsproxy-client: the hook onProgress has failed", "lfsproxy-client: the hook onResolve has failed"],
  );
});
