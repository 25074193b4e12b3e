/** The record values that all readers share. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import * as esm from "lfsproxy-client";
import { drained, optionsFor, startStore } from "./fake-store.mjs";

const cjs = createRequire(import.meta.url)("lfsproxy-client");
const document = JSON.parse(await readFile(new URL("../../../tests/vectors/envelopes.json", import.meta.url), "utf-8"));

function recordValue(vector) {
  if (vector.value_base64 !== undefined) {
    return Buffer.from(vector.value_base64, "base64");
  }
  return vector.value === null ? null : Buffer.from(vector.value, "utf-8");
}

let store;
let current;

/** Gives the vector's blob for whatever key its envelope names. */
function anyPlace(_request, response) {
  if (current.blob === undefined) {
    return false;
  }
  const body = Buffer.from(current.blob, "utf-8");
  response.writeHead(200, { "content-length": body.length }).end(body);
  return true;
}

before(async () => {
  store = await startStore(anyPlace);
});
after(() => store.close());

async function check(library, vector) {
  current = vector;
  store.requests.length = 0;
  const told = [];
  const { buckets, prefixes, max_size: maxSize } = document.reader;
  const reader = new library.LfsReader(
    optionsFor(store, { buckets, prefixes, maxSize, onResolve: (one) => told.push(one) }),
  );
  const value = recordValue(vector);
  if (vector.outcome === "ordinary" || vector.outcome === "blob") {
    const resolved = await reader.resolve(value);
    const opened = await reader.open(value);
    const streamed = opened.body === null ? null : await drained(opened.body);
    const wanted = vector.outcome === "ordinary" ? value : Buffer.from(vector.blob, "utf-8");
    assert.deepEqual(resolved.value === null ? null : Buffer.from(resolved.value), wanted);
    assert.deepEqual(streamed, wanted);
    assert.deepEqual(resolved.envelope, vector.envelope ?? null);
    assert.deepEqual(opened.envelope, vector.envelope ?? null);
    assert.equal(resolved.missing, false);
    const place = vector.envelope && `/${vector.envelope.s3_bucket}/${vector.envelope.s3_key}`;
    assert.deepEqual(
      store.requests.map(({ path }) => decodeURIComponent(path)),
      place ? [place, place] : [],
    );
    assert.ok(store.requests.every(({ path }) => /^[A-Za-z0-9\-._~/%]*$/.test(path)));
    assert.deepEqual(
      told.map((one) => one.result),
      vector.outcome === "blob" ? ["ok", "ok"] : [],
    );
  } else {
    const fails = { code: vector.outcome };
    await assert.rejects(reader.resolve(value), fails);
    await assert.rejects(async () => drained((await reader.open(value)).body), fails);
    for (const one of told) {
      assert.equal(one.result, vector.outcome);
    }
  }
}

test("the file has vectors", () => assert.ok(document.vectors.length > 0));

for (const [format, library] of [
  ["ES modules", esm],
  ["CommonJS", cjs],
]) {
  for (const vector of document.vectors) {
    test(`${format}: ${vector.name}`, () => check(library, vector));
  }
}
