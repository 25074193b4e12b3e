/**
 * Clocks and timers that are mocked. In a file without requests: Node's `fetch` has timers of its own, and fails where it cannot
 * clear them.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { LfsReader } from "lfsproxy-client";
import { envelopeOf } from "./fake-store.mjs";

const BODY = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 251));

test("a caller that takes its time between reads is not timed out", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const source = {
    get: async () => {
      asked += 1;
      let position = 0;
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (position === BODY.length) {
              return controller.close();
            }
            controller.enqueue(BODY.subarray(position, position + 10_000));
            position += 10_000;
          },
        }),
        { headers: { "content-length": BODY.length } },
      );
    },
  };
  const reader = new LfsReader({ bucket: "kafscale", source, readTimeout: 1000, retryTime: 1000 });
  const { body } = await reader.open(envelopeOf(BODY));
  const chunks = [];
  for await (const chunk of body) {
    chunks.push(chunk);
    context.mock.timers.tick(10_000);
  }
  assert.deepEqual(Buffer.concat(chunks), BODY);
  assert.equal(asked, 1);
});

test("a stream that is cancelled asks for nothing again: while it waits for bytes, and between two tries", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const turns = async () => {
    for (let turn = 0; turn < 20; turn += 1) {
      await new Promise(setImmediate);
    }
  };
  for (const fate of ["waits", "drops"]) {
    const told = [];
    let asked = 0;
    const source = {
      get: async () => {
        asked += 1;
        const bytes = new ReadableStream({
          pull(controller) {
            if (asked > 1 || this.sent) {
              return fate === "drops" ? controller.error(new Error("dropped")) : new Promise(() => undefined);
            }
            this.sent = true;
            controller.enqueue(BODY.subarray(0, 1000));
          },
        });
        return new Response(bytes, { headers: { "content-length": BODY.length } });
      },
    };
    const onResolve = ({ result }) => told.push(result);
    const reader = new LfsReader({ bucket: "kafscale", source, pause: 100, onResolve });
    const { body } = await reader.open(envelopeOf(BODY));
    const stream = body.getReader();
    await stream.read();
    const waiting = stream.read();
    await turns();
    await stream.cancel();
    assert.equal((await waiting).done, true);
    await turns();
    context.mock.timers.tick(10_000); // the pause before another try
    await turns();
    assert.deepEqual([fate, asked, told], [fate, 1, ["closed"]]);
  }
});

/** A store that says nothing but 10,000 bytes at a time, each GET of 60 ms; `clock.now` is the time. */
function broken(clock, size) {
  const gets = [];
  const get = async ({ headers }) => {
    const first = Number(/\d+/.exec(headers.range ?? "0")[0]);
    gets.push(first);
    clock.now += 60;
    const bytes = new ReadableStream({
      start(controller) {
        this.left = size;
        if (size === 0) {
          controller.error(new Error("dropped"));
        }
      },
      pull(controller) {
        if (this.left > 0) {
          this.left -= 10_000;
          return controller.enqueue(BODY.subarray(first, first + 10_000));
        }
        return first + size === BODY.length ? controller.close() : controller.error(new Error("dropped"));
      },
    });
    return new Response(bytes, { status: first > 0 ? 206 : 200 });
  };
  return { gets, source: { get } };
}

test("no try begins later than retryTime after the start, the pause before it counted", async (context) => {
  const clock = { now: 1000 };
  context.mock.method(performance, "now", () => clock.now);
  const tries = async (pause, retryTime, most = 1000) => {
    const { gets, source } = broken(clock, 0);
    const reader = new LfsReader({ bucket: "kafscale", source, tries: most, pause, retryTime });
    await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "store-unavailable", message: /dropped/ });
    return gets.length;
  };
  assert.equal(await tries(0, 200), 4);
  assert.equal(await tries(0, 59), 1);
  assert.equal(await tries(1000, 400), 1);
  assert.equal(await tries(20_000, 9000, 2), 1); // a first pause that is longer than the longest is kept
});

test("retryTime is counted from the last progress, and not while the caller takes its time", async (context) => {
  const clock = { now: 1000 };
  context.mock.method(performance, "now", () => clock.now);
  const { gets, source } = broken(clock, 10_000);
  const reader = new LfsReader({ bucket: "kafscale", source, tries: 2, pause: 0, retryTime: 100 });
  const { body } = await reader.open(envelopeOf(BODY));
  const chunks = [];
  for await (const chunk of body) {
    chunks.push(chunk);
    clock.now += 10_000;
  }
  assert.deepEqual(Buffer.concat(chunks), BODY);
  assert.equal(gets.length, 10);
});
