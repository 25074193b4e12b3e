/** Marking a record, and what the Kafka clients make of it. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { lfsHeaders, markLarge } from "lfsproxy-client";

const SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

test("a record is marked by an empty LFS_BLOB, with more headers where they are asked for", () => {
  assert.deepEqual(lfsHeaders(), { LFS_BLOB: "" });
  assert.deepEqual(lfsHeaders({ algorithm: "md5" }), { LFS_BLOB: "", LFS_BLOB_ALG: "md5" });
  assert.deepEqual(lfsHeaders({ checksum: SHA256.toUpperCase(), contentType: "image/png" }), {
    LFS_BLOB: SHA256,
    LFS_BLOB_ALG: "sha256",
    "content-type": "image/png",
  });
});

test("the algorithm of a checksum follows from its length", () => {
  assert.equal(lfsHeaders({ checksum: "3610a686" }).LFS_BLOB_ALG, "crc32");
  assert.equal(lfsHeaders({ checksum: "5d41402abc4b2a76b9719d911017c592" }).LFS_BLOB_ALG, "md5");
});

test("what the proxy would refuse is refused here", () => {
  for (const wrong of [
    { checksum: "" },
    { checksum: "", algorithm: "md5" },
    { checksum: "abc" },
    { checksum: "z".repeat(64) },
    { checksum: SHA256, algorithm: "md5" },
    { algorithm: "sha1" },
    { algorithm: "toString" },
  ]) {
    assert.throws(() => lfsHeaders(wrong), { code: "invalid-checksum" }, JSON.stringify(wrong));
  }
});

test("kafkajs writes the empty header as a value of no bytes, which is not null", () => {
  const encode = createRequire(import.meta.url)("kafkajs/src/protocol/recordBatch/header/v0");
  const [[key, value]] = Object.entries(lfsHeaders());
  // Varints are zigzag: 16 is the 8 bytes of the name, 0 is no bytes; null would be 1.
  assert.deepEqual(encode({ key, value }).buffer, Buffer.from("\x10LFS_BLOB\x00"));
});

test("a value is marked from its size on, counted in bytes, and other headers stay", () => {
  const large = Buffer.alloc(1_000_000);
  for (const [value, options, headers] of [
    [large, {}, { LFS_BLOB: "" }],
    [large.subarray(1), {}, undefined],
    ["é".repeat(500_000), {}, { LFS_BLOB: "" }],
    ["é".repeat(499_999), {}, undefined],
    ["hello", { markMinSize: 5 }, { LFS_BLOB: "" }],
    ["", { markMinSize: 0 }, { LFS_BLOB: "" }],
    [null, { markMinSize: 0 }, undefined],
    [undefined, { markMinSize: 0 }, undefined],
    ["hello", { markMinSize: 0, algorithm: "md5" }, { LFS_BLOB: "", LFS_BLOB_ALG: "md5" }],
    ["hello", { markMinSize: 0, markChecksum: true }, { LFS_BLOB: SHA256, LFS_BLOB_ALG: "sha256" }],
    [
      Buffer.from("hello"),
      { markMinSize: 0, markChecksum: true, algorithm: "crc32" },
      { LFS_BLOB: "3610a686", LFS_BLOB_ALG: "crc32" },
    ],
  ]) {
    const message = { key: "k", value };
    const marked = markLarge(message, options);
    assert.deepEqual(marked, headers === undefined ? message : { ...message, headers });
    assert.deepEqual(message, { key: "k", value }); // the caller's own is left as it was
    const traced = markLarge({ value, headers: { trace: "1" } }, options);
    assert.deepEqual(traced.headers, { trace: "1", ...headers });
  }
});

test("a message that is marked already stays as it is", () => {
  const message = { value: Buffer.alloc(2_000_000), headers: { LFS_BLOB: "3610a686", LFS_BLOB_ALG: "crc32" } };
  assert.equal(markLarge(message, { markChecksum: true }), message);
});

test("a size or an algorithm that cannot be used is refused", () => {
  assert.throws(() => markLarge({ value: null }, { markMinSize: Number.NaN }), { message: /^markMinSize is NaN/ });
  assert.throws(() => markLarge({ value: "x" }, { markMinSize: -1 }), { code: "invalid-setting" });
  assert.throws(() => markLarge({ value: "x" }, { markMinSize: 0, algorithm: "sha1" }), { code: "invalid-checksum" });
});
