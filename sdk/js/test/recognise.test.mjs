/** Where JavaScript's JSON differs from what an envelope may be, and the limits of recognising one. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvelope } from "lfsproxy-client";
import { envelopeOf } from "./fake-store.mjs";

const BODY = Buffer.from("hello");
const good = envelopeOf(BODY).toString();
const parsed = (text) => parseEnvelope(Buffer.from(text));
const invalid = { code: "invalid-envelope" };

test("a version written with a fraction or an exponent is no integer, so the value is ordinary", () => {
  for (const version of ["1.0", "1e0", "10e-1", "1E0"]) {
    assert.equal(parsed(good.replace('"lfs_version":1', `"lfs_version":${version}`)), null, version);
  }
});

test("a length written with a fraction or an exponent is invalid", () => {
  for (const length of ["5.0", "5e0", "0.5e1", "-5"]) {
    assert.throws(() => parsed(good.replace('"content_length":5', `"content_length":${length}`)), invalid, length);
  }
});

test("integers beyond 2^53 are integers", () => {
  assert.equal(
    parsed(good.replace('"content_length":5', '"content_length":9007199254740993')).content_length,
    9007199254740992,
  );
  assert.throws(() => parsed(good.replace('"lfs_version":1', '"lfs_version":9007199254740993')), {
    code: "unsupported-envelope",
  });
});

test("fields are the value's own, not those of its __proto__", () => {
  const inherited = `{"__proto__":${good},"text":"\\"lfs_version\\""}`;
  assert.equal(parsed(inherited), null);
  const partly = good.replace('"s3_bucket":"kafscale"', '"__proto__":{"s3_bucket":"kafscale"}');
  assert.equal(parsed(partly), null);
  const rest = good.replace('"checksum_algo":"sha256"', '"__proto__":{"checksum_algo":"sha256"}');
  assert.throws(() => parsed(rest), invalid);
  assert.equal(
    parsed(good.replace("{", '{"__proto__":{"a":1},"constructor":{"prototype":{"b":2}},')).content_length,
    5,
  );
  assert.equal({}.a ?? {}.b, undefined);
});

test("of a field that occurs twice the last counts", () => {
  assert.equal(parsed(good.replace("}", ',"s3_key":"lfs/other"}')).s3_key, "lfs/other");
  assert.equal(parsed(good.replace("}", ',"lfs_version":"1"}')), null);
  assert.equal(parsed(good.replace("{", '{"lfs_version":"1",')).content_length, 5);
});

test("what is not UTF-8 or not JSON is ordinary", () => {
  const values = [
    Buffer.concat([Buffer.from(good.slice(0, -2)), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    Buffer.from(`\ufeff${good}`),
    Buffer.from(good.replace("}", ",}")),
    Buffer.from(good.replace("}", ',"a":01}')),
    Buffer.from(good.replace("}", ',"a":.5}')),
    Buffer.from(good.replace("}", ',"a":"\n"}')),
    Buffer.from(good.replace("}", ",'a':1}")),
    Buffer.from(`${good.slice(0, -1)},"a":${"[".repeat(30000)}${"]".repeat(30000)}}`),
  ];
  for (const value of values) {
    assert.equal(parseEnvelope(value), null, value.toString().slice(-80));
  }
});

test("what is nested in more than 100 levels is ordinary, brackets in text do not count", () => {
  const nested = (levels) => parsed(good.replace("}", `,"a":${"[".repeat(levels)}${"]".repeat(levels)}}`));
  assert.equal(nested(99).content_length, 5);
  assert.equal(nested(100), null);
  assert.equal(parsed(good.replace("}", `,"a":"\\"${"[".repeat(200)}"}`)).content_length, 5);
});

test("half of a character in a field is invalid", () => {
  assert.throws(() => parsed(good.replace("lfs/", "lfs/\\ud800")), invalid);
});

test("the JSON that is read is that of JSON.parse", () => {
  const pieces = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"a"',
    '"\\u0041"',
    '"\\',
    "1",
    "-",
    "0",
    ".5",
    "e1",
    "true",
    "nul",
    " ",
  ];
  let state = 7;
  const next = (limit) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * limit);
  };
  let accepted = 0;
  for (let round = 0; round < 20000; round += 1) {
    const extra = Array.from({ length: 1 + next(5) }, () => pieces[next(pieces.length)]).join("");
    const text = good.replace("}", `,"x":${extra}}`);
    let isJson = true;
    try {
      JSON.parse(text);
    } catch {
      isJson = false;
    }
    accepted += Number(isJson);
    assert.equal(parsed(text) !== null, isJson, text);
  }
  assert.ok(accepted > 100 && accepted < 19000, `${accepted} of the texts are JSON`);
});

test("a value of 64 KiB is no envelope", () => {
  const padded = (size) => Buffer.from(`${good.slice(0, -1)}${" ".repeat(size - good.length)}}`);
  assert.equal(parseEnvelope(padded(64 * 1024 - 1)).content_length, 5);
  assert.equal(parseEnvelope(padded(64 * 1024)), null);
});
