/** Dropped connections, stores that fail for a while, silence, and callers that want no more. */

import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { LfsReader, proxySource } from "lfsproxy-client";
import { cut, drained, drop, envelopeOf, etagOf, fail, KEY, optionsFor, startStore } from "./fake-store.mjs";

const BODY = Buffer.from(Array.from({ length: 600_000 }, (_, index) => (index * 7) % 251));
let spoil;
let store;

beforeEach(async () => {
  spoil = () => false;
  store = await startStore((...asked) => spoil(...asked));
  store.put("kafscale", KEY, BODY);
});
afterEach(() => store.close());

const reader = (more) => new LfsReader(optionsFor(store, more));

test("a dropped connection is taken up where it stopped, tied to the same object", async () => {
  spoil = (_request, response, body, first) => (first < 500_000 ? cut(response, body, first, 100_000) : false);
  const { value } = await reader().resolve(envelopeOf(BODY));
  assert.deepEqual(Buffer.from(value), BODY);
  const [whole, ...ranged] = store.requests.map(({ headers }) => headers);
  assert.equal(whole.range, undefined);
  assert.equal(whole["if-match"], undefined);
  assert.ok(ranged.length > 0);
  let last = 0;
  for (const headers of ranged) {
    const first = Number(/^bytes=(\d+)-$/.exec(headers.range)[1]);
    assert.ok(first > last, `${first} after ${last}`);
    last = first;
    assert.equal(headers["if-match"], etagOf(BODY));
  }
});

test("the proxy is asked for the rest by If-Range, which it allows to pages of other origins", async () => {
  spoil = (_request, response, _body, first) => {
    if (first === 0) {
      return cut(response, BODY, 0, 100_000);
    }
    response.writeHead(206, { "content-length": BODY.length - first }).end(BODY.subarray(first));
    return true;
  };
  const byProxy = new LfsReader({ source: proxySource({ url: store.endpoint }), pause: 0 });
  const record = { topic: "t", partition: 0, offset: 7 };
  const { value } = await byProxy.resolve(envelopeOf(BODY), { record });
  assert.deepEqual(Buffer.from(value), BODY);
  const { headers } = store.requests[1];
  assert.equal(headers["if-range"], etagOf(BODY));
  assert.equal(headers["if-match"], undefined);
});

test("tries are counted from the last progress", async () => {
  spoil = (_request, response, body, first) => (first < 540_000 ? cut(response, body, first, 60_000) : false);
  const { body } = await reader({ tries: 2 }).open(envelopeOf(BODY));
  assert.deepEqual(await drained(body), BODY);
  assert.ok(store.requests.length > 5, `${store.requests.length} requests`);
});

test("a store that drops every connection is unavailable after the tries", async () => {
  spoil = (_request, response) => drop(response);
  await assert.rejects(reader({ tries: 3 }).resolve(envelopeOf(BODY)), {
    code: "store-unavailable",
    name: "StoreUnavailableError",
  });
  assert.equal(store.requests.length, 3);
});

test("drops without progress in the middle end too", async () => {
  spoil = (_request, response, body, first) => cut(response, body, first, first === 0 ? 100_000 : 0);
  const told = [];
  const { body } = await reader({ tries: 3, onResolve: (one) => told.push(one) }).open(envelopeOf(BODY));
  await assert.rejects(drained(body), { code: "store-unavailable" });
  assert.deepEqual([told.length, told[0].result], [1, "store-unavailable"]);
  assert.equal(store.requests.length, 3);
});

test("an object that changed meanwhile is not read on", async () => {
  spoil = (_request, response, body, first) => {
    if (first > 0) {
      return false;
    }
    cut(response, body, first, 100_000);
    store.put("kafscale", KEY, Buffer.alloc(BODY.length));
    return true;
  };
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "store-unavailable", message: /412/ });
  assert.equal(store.requests.length, 2);
});

test("an answer from the start where the rest was asked for is not taken for the rest", async () => {
  spoil = (_request, response, body, first) => {
    if (first === 0) {
      cut(response, body, 0, 100_000);
    } else {
      response.writeHead(200, { "content-length": body.length }).end(body);
    }
    return true;
  };
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "store-unavailable", message: /read on/ });
});

test("an object that vanished meanwhile is missing", async () => {
  spoil = (_request, response, body, first) => {
    if (first > 0) {
      return false;
    }
    cut(response, body, first, 100_000);
    store.objects.clear();
    return true;
  };
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "blob-missing" });
  for (const [onMissing, expected] of [
    ["skip", null],
    ["envelope", envelopeOf(BODY)],
  ]) {
    store.put("kafscale", KEY, BODY);
    const told = [];
    const { value, missing } = await reader({ onMissing, onResolve: ({ result }) => told.push(result) }).resolve(
      envelopeOf(BODY),
    );
    assert.deepEqual([value, missing, told], [expected, true, ["blob-missing"]]);
  }
});

test("answers that may pass are tried again, others are not", async () => {
  for (const status of [408, 429, 500, 502, 503, 504]) {
    let left = 2;
    spoil = (_request, response) => left-- > 0 && fail(response, status, "SlowDown");
    assert.equal((await reader().resolve(envelopeOf(BODY))).value.length, BODY.length, String(status));
  }
  for (const status of [400, 401, 403, 405, 301]) {
    const asked = store.requests.length;
    spoil = (_request, response) => fail(response, status, "No");
    await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "store-refused" }, String(status));
    assert.equal(store.requests.length, asked + 1);
  }
});

test("a store that says nothing is given up after readTimeout, before and amid the body", async () => {
  spoil = () => true;
  await assert.rejects(reader({ readTimeout: 250, tries: 2 }).resolve(envelopeOf(BODY)), {
    code: "store-unavailable",
    message: /said nothing for 250 ms/,
  });
  assert.equal(store.requests.length, 2);
  spoil = (_request, response, body, first) => {
    if (first === 0) {
      response.writeHead(200, { "content-length": body.length, etag: etagOf(body) });
      response.write(body.subarray(0, 100_000));
      return true;
    }
    return false;
  };
  assert.deepEqual(Buffer.from((await reader({ readTimeout: 100 }).resolve(envelopeOf(BODY))).value), BODY);
});

test("the caller's signal ends a read before, during and between the tries, and is no failure of the blob", async () => {
  const told = [];
  const reason = new Error("enough");
  const patient = reader({ pause: 100_000, onResolve: (one) => told.push([one.result, one.error]) });

  const aborted = AbortSignal.abort(reason);
  await assert.rejects(patient.resolve(envelopeOf(BODY), { signal: aborted }), reason);
  assert.equal(store.requests.length, 0);

  const asked = new AbortController();
  spoil = () => {
    asked.abort(reason);
    return true;
  };
  await assert.rejects(patient.resolve(envelopeOf(BODY), { signal: asked.signal }), reason);

  const pausing = new AbortController();
  spoil = (_request, response) => {
    response.on("close", () => setImmediate(() => pausing.abort(reason)));
    response.destroy();
    return true;
  };
  await assert.rejects(patient.resolve(envelopeOf(BODY), { signal: pausing.signal }), reason);

  const streaming = new AbortController();
  spoil = (_request, response, body) => {
    response.writeHead(200, { "content-length": body.length }).write(body.subarray(0, 1000));
    return true;
  };
  const stream = (await patient.open(envelopeOf(BODY), { signal: streaming.signal })).body.getReader();
  await stream.read();
  const next = stream.read();
  streaming.abort(reason);
  await assert.rejects(next, reason);
  assert.deepEqual(told, Array(4).fill(["cancelled", null]));
});

test("a stream that is cancelled lets go of its connection", async () => {
  let closed;
  spoil = (_request, response, body) => {
    closed = once(response, "close");
    response.writeHead(200, { "content-length": body.length }).write(body.subarray(0, 1000));
    return true;
  };
  const { body } = await reader().open(envelopeOf(BODY));
  for await (const _chunk of body) {
    break;
  }
  await closed;
});

test("a connection is used again after a blob that was read to its end", async () => {
  const ports = new Set();
  spoil = (request) => ports.add(request.socket.remotePort) && false;
  const one = reader();
  for (let round = 0; round < 5; round += 1) {
    await one.resolve(envelopeOf(BODY));
  }
  assert.equal(ports.size, 1);
});

test("one signal serves many reads and streams at once without gathering listeners", async (context) => {
  const warned = context.mock.method(process, "emitWarning", () => undefined);
  const { signal } = new AbortController();
  const one = reader();
  await Promise.all(Array.from({ length: 30 }, () => one.resolve(envelopeOf(BODY), { signal })));
  const streams = await Promise.all(Array.from({ length: 30 }, () => one.open(envelopeOf(BODY), { signal })));
  await Promise.all(streams.map(({ body }) => body.cancel()));
  assert.equal(warned.mock.callCount(), 0);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a signal lets go of the connection of a stream that nobody reads, at once", async () => {
  let closed;
  spoil = (_request, response, body) => {
    closed = once(response, "close");
    response.writeHead(200, { "content-length": body.length }).write(body.subarray(0, 1000));
    return true;
  };
  for (const readFirst of [false, true]) {
    const told = [];
    const control = new AbortController();
    const options = { signal: control.signal };
    const { body } = await reader({ onResolve: ({ result }) => told.push(result) }).open(envelopeOf(BODY), options);
    const stream = body.getReader();
    if (readFirst) {
      await stream.read();
    }
    control.abort(new Error("enough"));
    assert.deepEqual(told, ["cancelled"]);
    await closed;
    await assert.rejects(stream.read(), { message: "enough" });
    await assert.rejects(stream.closed, { message: "enough" });
  }
});

test("the caller's own deadline is a timeout, also among other signals", async () => {
  spoil = () => true;
  for (const wrapped of [(signal) => signal, (signal) => AbortSignal.any([signal, new AbortController().signal])]) {
    const told = [];
    const patient = reader({ onResolve: ({ result }) => told.push(result) });
    const signal = wrapped(AbortSignal.timeout(20));
    await assert.rejects(patient.resolve(envelopeOf(BODY), { signal }), { name: "TimeoutError" });
    assert.deepEqual(told, ["timeout"]);
  }
});

test("a source that does not look at its signal is let go of too", async () => {
  let cancelled = 0;
  const source = {
    get: async () =>
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(BODY.subarray(0, 10)),
          cancel: () => {
            cancelled += 1;
          },
        }),
      ),
  };
  const control = new AbortController();
  const { body } = await reader({ source }).open(envelopeOf(BODY), { signal: control.signal });
  await (await reader({ source }).open(envelopeOf(BODY))).body.cancel();
  assert.equal(cancelled, 1);
  control.abort();
  await assert.rejects(body.getReader().read(), { name: "AbortError" });
  assert.equal(cancelled, 2);
});
