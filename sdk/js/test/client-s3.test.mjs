/** Blobs by a client of the AWS SDK. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { S3Client } from "@aws-sdk/client-s3";
import { LfsReader } from "lfsproxy-client";
import { s3ClientSource } from "lfsproxy-client/client-s3";
import { CREDENTIALS, cut, drained, drop, envelopeOf, etagOf, fail, KEY, startStore } from "./fake-store.mjs";

const BODY = Buffer.from(Array.from({ length: 600_000 }, (_, index) => (index * 7) % 251));
let spoil;
let store;
let client;

beforeEach(async () => {
  spoil = () => false;
  store = await startStore((...asked) => spoil(...asked));
  store.put("kafscale", KEY, BODY);
  client = new S3Client({
    endpoint: store.endpoint,
    region: "eu-central-1",
    forcePathStyle: true,
    credentials: CREDENTIALS,
    maxAttempts: 1,
  });
});
afterEach(() => {
  client.destroy();
  return store.close();
});

const reader = (more) =>
  new LfsReader({ bucket: "kafscale", source: s3ClientSource(client), pause: 0, tries: 2, ...more });

test("a blob is read whole and as a stream, signed for the client's region", async () => {
  assert.ok((await reader().resolve(envelopeOf(BODY))).value.equals(BODY));
  assert.ok((await drained((await reader().open(envelopeOf(BODY))).body)).equals(BODY));
  assert.match(store.requests[0].headers.authorization, /\/eu-central-1\/s3\//);
});

test("a dropped connection is taken up where it stopped, tied to the same object", async () => {
  spoil = (_request, response, body, first) => (first < 500_000 ? cut(response, body, first, 250_000) : false);
  assert.ok((await reader().resolve(envelopeOf(BODY))).value.equals(BODY));
  const { headers } = store.requests[1];
  assert.match(headers.range, /^bytes=[1-9]\d*-$/);
  assert.equal(headers["if-match"], etagOf(BODY));
});

test("what S3 refuses is the error that it is by the library's own requests", async () => {
  for (const [status, name, code] of [
    [404, "NoSuchKey", "blob-missing"],
    [404, "NoSuchBucket", "store-refused"],
    [403, "AccessDenied", "store-refused"],
    [503, "SlowDown", "store-unavailable"],
    [301, "PermanentRedirect", "store-refused"],
  ]) {
    spoil = (_request, response) => fail(response, status, name);
    await assert.rejects(reader().resolve(envelopeOf(BODY)), { code }, name);
  }
  spoil = (_request, response) => drop(response);
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "store-unavailable" });
  spoil = () => false;
  store.put("kafscale", KEY, BODY.subarray(1));
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "blob-truncated" });
  store.put("kafscale", KEY, Buffer.alloc(BODY.length));
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "checksum-mismatch" });
});

test("a client without credentials is refused at once", async () => {
  client = new S3Client({
    endpoint: store.endpoint,
    region: "eu-central-1",
    credentials: () => Promise.reject(Object.assign(new Error("none"), { name: "CredentialsProviderError" })),
  });
  await assert.rejects(reader().resolve(envelopeOf(BODY)), { code: "store-refused", message: /CredentialsProvider/ });
  assert.equal(store.requests.length, 0);
});

test("a stream that is cancelled or aborted lets go of its connection", async () => {
  for (const end of [(body) => body.cancel(), (_body, control) => control.abort()]) {
    let closed;
    spoil = (_request, response, body) => {
      closed = once(response, "close");
      response.writeHead(200, { "content-length": body.length }).write(body.subarray(0, 1000));
      return true;
    };
    const control = new AbortController();
    const { body } = await reader().open(envelopeOf(BODY), { signal: control.signal });
    await end(body, control);
    await closed;
  }
});
