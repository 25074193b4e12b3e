/** Reads that are broken off in their middle, at any moment: nobody takes that for the end of the blob. */

import assert from "node:assert/strict";
import { Hash } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { LfsReader } from "lfsproxy-client";
import { toReadable } from "lfsproxy-client/node";
import { drained, envelopeOf, KEY, optionsFor, startStore } from "./fake-store.mjs";

const BODY = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 31 + at / 251) & 255));
const CHUNK = 10_000;
let store;
let told;

beforeEach(async () => {
  store = await startStore();
  store.put("kafscale", KEY, BODY);
  told = [];
});
afterEach(() => store.close());

/** A source that gives the blob in chunks; `before` is told the number of each before it comes. */
function chunked(before = () => undefined) {
  return {
    async get({ headers }) {
      const first = Number(/\d+/.exec(headers.range ?? "0")[0]);
      let position = first;
      const bytes = new ReadableStream({
        async pull(controller) {
          await before(position / CHUNK, controller);
          if (position === BODY.length) {
            return controller.close();
          }
          controller.enqueue(new Uint8Array(BODY.subarray(position, position + CHUNK)));
          position += CHUNK;
        },
      });
      const status = first > 0 ? 206 : 200;
      return new Response(bytes, { status, headers: { "content-length": BODY.length - first, etag: '"one"' } });
    },
  };
}

function opened(source, options = {}) {
  const more = { source, onResolve: ({ result }) => told.push(result) };
  return new LfsReader(optionsFor(store, more)).open(envelopeOf(BODY), options);
}

/** Reads on after every error, three times: what came, and whether it ended. */
async function insisted(body) {
  const chunks = [];
  let ended = false;
  for (let failures = 0; failures < 3 && !ended; ) {
    const reader = body.getReader();
    try {
      for (let next = await reader.read(); ; next = await reader.read()) {
        if (next.done) {
          ended = true;
          break;
        }
        chunks.push(next.value);
      }
    } catch {
      failures += 1;
    }
    reader.releaseLock();
  }
  return { bytes: Buffer.concat(chunks), ended };
}

test("a signal at any moment errors the stream for good, unless the blob is there already", async () => {
  for (let at = 0; at <= BODY.length / CHUNK; at += 1) {
    for (const turns of [0, 1, 2, 3, 5, 8]) {
      told = [];
      const control = new AbortController();
      const source = chunked(async (number) => {
        if (number === at) {
          for (let turn = 0; turn < turns; turn += 1) {
            await undefined;
          }
          if (turns % 2 === 0) {
            queueMicrotask(() => control.abort(new Error("enough")));
          } else {
            control.abort(new Error("enough"));
          }
        }
      });
      const made = await opened(source, { signal: control.signal }).catch(() => undefined);
      if (made === undefined) {
        continue;
      }
      const { bytes, ended } = await insisted(made.body);
      assert.ok(BODY.subarray(0, bytes.length).equals(bytes));
      assert.equal(ended, bytes.length === BODY.length, `at ${at} after ${turns} turns`);
      assert.deepEqual(told, [ended ? "ok" : "cancelled"]);
    }
  }
});

test("what a source throws errors the stream for good", async () => {
  for (const error of [new Error("broken"), new RangeError("no memory"), "no error at all", undefined]) {
    told = [];
    const source = chunked((number) => {
      if (number === 5) {
        throw error;
      }
    });
    const { bytes, ended } = await insisted((await opened(source)).body);
    assert.deepEqual([bytes.length, ended, told], [5 * CHUNK, false, ["store-unavailable"]]);
  }
});

test("what is no bytes breaks a read off, for good", async () => {
  for (const [given, said] of [
    ["text in place of bytes", /after 20000 bytes: .*something else than bytes/],
    [Array.from({ length: CHUNK }, () => 65), /something else than bytes/],
  ]) {
    told = [];
    const source = chunked((number, controller) => number === 2 && controller.enqueue(given));
    const { body } = await opened(source);
    const { bytes, ended } = await insisted(body);
    assert.deepEqual([bytes.length, ended, told], [2 * CHUNK, false, ["read-interrupted"]]);
    await assert.rejects(body.getReader().read(), { code: "read-interrupted", retriable: true, message: said });
  }
});

test("a checksum that cannot be computed breaks a read off, for good", async (context) => {
  const broken = new Error("no more of this");
  const { update } = Hash.prototype;
  let updates = 0;
  context.mock.method(Hash.prototype, "update", function hashed(...given) {
    updates += 1;
    if (updates === 3) {
      throw broken;
    }
    return update.apply(this, given);
  });
  const value = envelopeOf(BODY);
  updates = 0;
  const reader = new LfsReader(optionsFor(store, { source: chunked(), onResolve: ({ result }) => told.push(result) }));
  const { bytes, ended } = await insisted((await reader.open(value)).body);
  assert.deepEqual([bytes.length, ended, told], [2 * CHUNK, false, ["read-interrupted"]]);
  updates = 0;
  await assert.rejects(reader.resolve(value), { code: "read-interrupted", cause: broken });
});

test("a signal while the last bytes are verified leaves no end behind", async () => {
  for (const turns of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
    told = [];
    const control = new AbortController();
    const source = chunked(async (number) => {
      if (number === BODY.length / CHUNK) {
        void (async () => {
          for (let turn = 0; turn < turns; turn += 1) {
            await undefined;
          }
          control.abort(new Error("enough"));
        })();
      }
    });
    const whole = new LfsReader(optionsFor(store, { source, onResolve: ({ result }) => told.push(result) }))
      .resolve(envelopeOf(BODY), { signal: control.signal })
      .then(({ value }) => value.equals(BODY) && "ok")
      .catch(({ message }) => message === "enough" && "cancelled");
    assert.deepEqual([await whole], told);
  }
});

test("a hook that throws takes no bytes with it", async () => {
  const { error } = console;
  const said = [];
  console.error = (...words) => said.push(words);
  try {
    for (const thrown of [new Error("broken"), undefined]) {
      const onResolve = () => {
        throw thrown;
      };
      const reader = new LfsReader(optionsFor(store, { source: chunked(), onResolve }));
      const { bytes, ended } = await insisted((await reader.open(envelopeOf(BODY))).body);
      assert.ok(ended && bytes.equals(BODY));
    }
  } finally {
    console.error = error;
  }
  assert.equal(said.length, 2);
});

test("a reader that lets go of the stream while it waits leaves its bytes to the next one", async () => {
  const { body } = await opened(chunked());
  const chunks = [];
  for (let turn = 0; ; turn += 1) {
    const impatient = body.getReader();
    const waiting = impatient.read().catch(() => undefined);
    if (turn % 2 === 0) {
      impatient.releaseLock();
    }
    const next = await waiting;
    impatient.releaseLock();
    if (next?.done) {
      break;
    }
    if (next !== undefined) {
      chunks.push(next.value);
    }
  }
  assert.ok(Buffer.concat(chunks).equals(BODY));
  assert.deepEqual(told, ["ok"]);
});

test("one of two branches that is cancelled takes nothing from the other", async () => {
  const [left, right] = (await opened(chunked())).body.tee();
  const reader = left.getReader();
  await reader.read();
  const cancelled = reader.cancel();
  assert.ok((await drained(right)).equals(BODY));
  await cancelled;
  assert.deepEqual(told, ["ok"]);
});

test("a Node stream that is destroyed in the middle emits no end", async () => {
  const stream = toReadable((await opened(chunked())).body);
  let ended = false;
  stream.on("end", () => {
    ended = true;
  });
  const closed = new Promise((resolve) => stream.on("close", resolve));
  for await (const _chunk of stream) {
    break;
  }
  await closed;
  assert.deepEqual([ended, stream.readableEnded, told], [false, false, ["closed"]]);
});
