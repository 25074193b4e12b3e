import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { LfsReader } from "lfsproxy-client";

/** A record's value, as the proxy publishes it for these bytes. */
function envelopeOf(blob) {
  const checksum = createHash("sha256").update(blob).digest("hex");
  const place = { s3_bucket: "kafscale", s3_key: "lfs/default/demo-topic/0/0-test.bin" };
  const rest = { content_type: "text/plain", content_length: blob.length, checksum_algo: "sha256", checksum };
  return Buffer.from(JSON.stringify({ lfs_version: 1, ...place, ...rest }));
}

test("the application reads what was published", async () => {
  const blob = Buffer.from("a large value");
  const source = { get: async () => new Response(blob) }; // no network, no S3
  const reader = new LfsReader({ bucket: "kafscale", source });
  const { value } = await reader.resolve(envelopeOf(blob));
  assert.equal(value.toString(), "a large value");
});

test("the application is told of a blob that is gone", async () => {
  const source = { get: async () => new Response(null, { status: 404 }) };
  const reader = new LfsReader({ bucket: "kafscale", source });
  await assert.rejects(reader.resolve(envelopeOf(Buffer.from("gone"))), { code: "blob-missing", retriable: false });
});
