/** Many records at once: their order, the bounds, and what comes of one that fails. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { LfsReader } from "lfsproxy-client";
import { envelopeOf, optionsFor, startStore } from "./fake-store.mjs";

const SIZE = 1000;
let store;
let told;

beforeEach(async () => {
  store = await startStore();
  told = [];
});
afterEach(() => store.close());

/** A source whose answers the test gives, in any order; `asked` has the keys in the order of the GETs. */
function controlled() {
  const asked = [];
  const answers = new Map();
  const ended = [];
  return {
    asked,
    ended,
    source: {
      get: ({ envelope, signal }) => {
        asked.push(envelope.s3_key);
        signal.addEventListener("abort", () => ended.push(envelope.s3_key));
        return new Promise((resolve) => answers.set(envelope.s3_key, resolve));
      },
    },
    answer: (key, body, status = 200) => answers.get(key)(new Response(body, { status })),
  };
}

const turns = () => new Promise((resolve) => setImmediate(resolve));
const bodyOf = (number) => Buffer.alloc(SIZE, `${number}`);
const keyOf = (number) => `lfs/default/t/0/${number}`;
const messageOf = (number) => ({ value: envelopeOf(bodyOf(number), { s3_key: keyOf(number) }), offset: `${number}` });
const messages = (count) => Array.from({ length: count }, (_, number) => messageOf(number));
const reader = (more) => new LfsReader(optionsFor(store, { onResolve: (one) => told.push(one), ...more }));
const numbers = (keys) => keys.map((key) => Number(key.split("/").at(-1)));

test("records come in their order, blobs, ordinary values and nulls, each with its message", async () => {
  const given = [];
  for (const number of Array(40).keys()) {
    store.put("kafscale", keyOf(number), bodyOf(number));
    given.push(messageOf(number), { value: Buffer.from(`ordinary ${number}`) }, { value: null });
  }
  const found = [];
  for await (const { message, value, envelope, missing, error } of reader().resolveBatch(given)) {
    found.push([message, value?.toString(), envelope?.s3_key, missing, error]);
  }
  assert.deepEqual(
    found,
    given.map((message, at) => {
      const number = Math.floor(at / 3);
      const blob = [bodyOf(number).toString(), keyOf(number)];
      return [message, ...[blob, [`ordinary ${number}`, undefined], [undefined, undefined]][at % 3], false, null];
    }),
  );
});

test("a kafkajs batch gives its topic and partition, and a payload its own", async () => {
  for (const number of [0, 1]) {
    store.put("kafscale", keyOf(number), bodyOf(number));
  }
  // One at a time: of two that are read side by side, either may be told of first.
  const batch = { topic: "t", partition: 3, messages: messages(2) };
  for await (const { value } of reader().resolveBatch(batch, { concurrency: 1 })) {
    assert.equal(value.length, SIZE);
  }
  for await (const { value } of reader().resolveBatch(new Set([{ topic: "u", partition: 1, message: messageOf(1) }]))) {
    assert.equal(value.length, SIZE);
  }
  assert.deepEqual(
    told.map(({ record }) => record),
    [
      { topic: "t", partition: 3, offset: "0" },
      { topic: "t", partition: 3, offset: "1" },
      { topic: "u", partition: 1, offset: "1" },
    ],
  );
});

test("no more are fetched at a time than `concurrency`, and a later one that is there waits for its turn", async () => {
  const { source, asked, answer } = controlled();
  const iterator = reader({ source }).resolveBatch(messages(6), { concurrency: 3 });
  assert.equal(asked.length, 0); // nothing before the first is asked for
  const first = iterator.next();
  await turns();
  assert.deepEqual(numbers(asked), [0, 1, 2]);
  answer(keyOf(2), bodyOf(2));
  await turns();
  assert.deepEqual(numbers(asked), [0, 1, 2, 3]);
  answer(keyOf(0), bodyOf(0));
  assert.equal((await first).value.value.toString(), bodyOf(0).toString());
  await turns();
  assert.deepEqual(numbers(asked), [0, 1, 2, 3, 4]);
  await iterator.return();
});

test("no more bytes are held than `maxBytes`, from the fetch until the record is handed over", async () => {
  const { source, asked, answer } = controlled();
  const iterator = reader({ source }).resolveBatch(messages(6), { maxBytes: 2 * SIZE + 1 });
  const first = iterator.next();
  await turns();
  assert.deepEqual(numbers(asked), [0, 1]);
  answer(keyOf(1), bodyOf(1));
  await turns();
  assert.deepEqual(numbers(asked), [0, 1]); // the bytes of 1 are still held
  answer(keyOf(0), bodyOf(0));
  await first;
  await turns();
  assert.deepEqual(numbers(asked), [0, 1, 2]);
  await iterator.next();
  await turns();
  assert.deepEqual(numbers(asked), [0, 1, 2, 3]);
  await iterator.return();
});

test("a blob larger than `maxBytes` goes alone", async () => {
  const { source, asked, answer } = controlled();
  const iterator = reader({ source }).resolveBatch(messages(3), { maxBytes: SIZE - 1 });
  for (const number of [0, 1, 2]) {
    const next = iterator.next();
    await turns();
    assert.deepEqual(numbers(asked), [...Array(number + 1).keys()]);
    answer(keyOf(number), bodyOf(number));
    assert.equal((await next).value.value.length, SIZE);
  }
  assert.equal((await iterator.next()).done, true);
});

test("a record that fails comes in its place, its value throws, and the others are not lost", async () => {
  for (const number of [0, 2, 4]) {
    store.put("kafscale", keyOf(number), bodyOf(number));
  }
  store.put("kafscale", keyOf(2), bodyOf(3));
  const wrong = { value: Buffer.from(messageOf(4).value.toString().replace('"lfs_version":1', '"lfs_version":2')) };
  const found = [];
  for await (const record of reader().resolveBatch([...messages(5), wrong], { maxBytes: SIZE })) {
    found.push(record.error?.code ?? record.value.toString()[0]);
    if (record.error) {
      for (const name of ["value", "envelope", "missing"]) {
        assert.throws(() => record[name], record.error);
      }
    }
  }
  assert.deepEqual(found, ["0", "blob-missing", "checksum-mismatch", "blob-missing", "4", "unsupported-envelope"]);
});

test("leaving the loop ends the fetches", async () => {
  for (const leave of ["break", "throw"]) {
    told = [];
    const { source, asked, answer, ended } = controlled();
    const left = (async () => {
      for await (const _record of reader({ source }).resolveBatch(messages(20), { concurrency: 4 })) {
        if (leave === "break") {
          break;
        }
        throw new Error("left");
      }
    })();
    await turns();
    answer(keyOf(0), bodyOf(0));
    await left.catch(({ message }) => assert.equal(message, "left"));
    await turns();
    assert.deepEqual(numbers(asked), [0, 1, 2, 3, 4]);
    assert.deepEqual(numbers(ended).sort(), [0, 1, 2, 3, 4]);
    assert.deepEqual(told.map(({ result }) => result).sort(), [
      "cancelled",
      "cancelled",
      "cancelled",
      "cancelled",
      "ok",
    ]);
  }
});

test("the signal ends the fetches, and the iteration throws its reason", async () => {
  const { source, ended } = controlled();
  const control = new AbortController();
  const iterator = reader({ source }).resolveBatch(messages(20), { signal: control.signal, concurrency: 2 });
  const next = iterator.next();
  await turns();
  control.abort(new Error("enough"));
  await assert.rejects(next, { message: "enough" });
  assert.deepEqual(numbers(ended), [0, 1]);
  assert.deepEqual(
    told.map(({ result }) => result),
    ["cancelled", "cancelled"],
  );
  assert.equal((await iterator.next()).done, true);
  const late = reader({ source }).resolveBatch(messages(2), { signal: control.signal });
  await assert.rejects(late.next(), { message: "enough" });
});

test("options that cannot be used are refused at once", () => {
  for (const [name, value] of [
    ["concurrency", 0],
    ["concurrency", Number.NaN],
    ["maxBytes", -1],
    ["maxBytes", Number.NaN],
  ]) {
    assert.throws(() => reader().resolveBatch([], { [name]: value }), {
      code: "invalid-setting",
      message: new RegExp(`^${name}`),
    });
  }
});
