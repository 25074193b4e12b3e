/** Reads from a store that does as it should, and how a wrong or missing blob is told. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import {
  BlobMissingError,
  EnvelopeNotAllowedError,
  LfsReader,
  presignedSource,
  proxySource,
  SettingError,
} from "lfsproxy-client";
import { toReadable } from "lfsproxy-client/node";
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

test("bytes, a web stream and a Node stream give the blob", async () => {
  const reader = new LfsReader(optionsFor(store));
  const value = envelopeOf(BODY);
  const resolved = await reader.resolve(value);
  assert.deepEqual(Buffer.from(resolved.value), BODY);
  assert.equal(resolved.envelope.s3_key, KEY);
  assert.deepEqual(await drained((await reader.open(value)).body), BODY);
  assert.deepEqual(await drained(toReadable((await reader.open(value)).body)), BODY);
});

test("a blob whose length the store does not say is read too", async () => {
  spoil = (_request, response, body) => {
    response.write(body.subarray(0, 10));
    response.end(body.subarray(10));
    return true;
  };
  const { value } = await new LfsReader(optionsFor(store)).resolve(envelopeOf(BODY));
  assert.deepEqual(Buffer.from(value), BODY);
});

test("an ordinary value comes back as the object it was, and nothing is asked of the store", async () => {
  const reader = new LfsReader(optionsFor(store));
  const value = Buffer.from("hello");
  assert.equal((await reader.resolve(value)).value, value);
  assert.equal((await reader.resolve(null)).value, null);
  assert.equal((await reader.resolve(undefined)).value, null);
  assert.equal((await reader.open(null)).body, null);
  assert.equal((await drained((await reader.open(Buffer.alloc(0))).body)).length, 0);
  assert.equal(store.requests.length, 0);
});

test("keys reach the store byte for byte", async () => {
  for (const key of [
    "lfs/a b+c%20d?e#f&g=h~ü.bin",
    "lfs//empty///parts/",
    "lfs/%2e%2e/x",
    "lfs/!'()*\\\"|^`",
    "lfs/☃💣",
  ]) {
    store.put("kafscale", key, BODY);
    const { value } = await new LfsReader(optionsFor(store)).resolve(envelopeOf(BODY, { s3_key: key }));
    assert.equal(value.length, BODY.length, key);
  }
});

test("a wrong last byte errors the stream, and the last bytes are not handed out", async () => {
  const wrong = Buffer.from(BODY);
  wrong[wrong.length - 1] ^= 1;
  store.put("kafscale", KEY, wrong);
  const reader = new LfsReader(optionsFor(store));
  const { body } = await reader.open(envelopeOf(BODY));
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of body) {
        received += chunk.length;
      }
    },
    { code: "checksum-mismatch", name: "ChecksumMismatchError" },
  );
  assert.ok(received > 0 && received < BODY.length, `${received} bytes were handed out`);
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "checksum-mismatch" });
});

test("a wrong blob in one chunk hands out nothing", async () => {
  store.put("kafscale", KEY, "jello");
  const { body } = await new LfsReader(optionsFor(store)).open(envelopeOf(Buffer.from("hello")));
  const reader = body.getReader();
  await assert.rejects(reader.read(), { code: "checksum-mismatch" });
  await assert.rejects(reader.read(), { code: "checksum-mismatch" });
});

test("a Node stream emits an error instead of its end", async () => {
  store.put("kafscale", KEY, "jello");
  const { body } = await new LfsReader(optionsFor(store)).open(envelopeOf(Buffer.from("hello")));
  const readable = toReadable(body);
  readable.on("end", () => assert.fail("the stream has ended"));
  await assert.rejects(drained(readable), { code: "checksum-mismatch" });
});

test("what the store says beyond the length or too little of is truncated, whether it says its length or not", async () => {
  for (const size of [BODY.length - 1, BODY.length + 1]) {
    for (const saysLength of [true, false]) {
      const sent = Buffer.alloc(size, "a blob ");
      spoil = (_request, response) => {
        response.writeHead(200, saysLength ? { "content-length": size } : {});
        response.end(sent);
        return true;
      };
      const reader = new LfsReader(optionsFor(store));
      await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "blob-truncated" }, `${size} ${saysLength}`);
    }
  }
});

test("an absurd length is refused without being allocated", async () => {
  const value = envelopeOf(BODY, { content_length: 2 ** 60 });
  await assert.rejects(new LfsReader(optionsFor(store, { maxSize: 0 })).resolve(value), { code: "blob-truncated" });
  spoil = (_request, response) => {
    response.writeHead(200, { "content-length": String(2 ** 50) });
    response.write("x");
    return true;
  };
  const told = [];
  const unlimited = new LfsReader(optionsFor(store, { maxSize: 0, onResolve: ({ result }) => told.push(result) }));
  const whole = unlimited.resolve(envelopeOf(BODY, { content_length: 2 ** 50 }));
  await assert.rejects(whole, { code: "too-large", message: /use open/ });
  assert.deepEqual(told, ["too-large"]);
});

test("a whole value is a Buffer, as Kafka clients give theirs", async () => {
  store.put("kafscale", KEY, "hello");
  const value = envelopeOf(Buffer.from("hello"));
  const { value: bytes } = await new LfsReader(optionsFor(store)).resolve(value);
  assert.equal(bytes.toString(), "hello");
  assert.ok(Buffer.isBuffer(bytes));
  spoil = (_request, response) => response.write("he") && response.end("llo") && true; // says no length
  assert.equal((await new LfsReader(optionsFor(store)).resolve(value)).value.toString(), "hello");
});

test("without maxSize whole values are taken up to 256 MiB, and streams of any size", async () => {
  const promised = 256 * 1024 * 1024 + 1;
  const value = envelopeOf(BODY, { content_length: promised });
  await assert.rejects(new LfsReader(optionsFor(store)).resolve(value), {
    code: "too-large",
    message: /268435457 bytes, more than maxSize allows \(268435456 bytes, .*`open` has no such limit/,
  });
  assert.equal(store.requests.length, 0);
  spoil = (_request, response) => {
    response.writeHead(200, { "content-length": promised }).write("x");
    return true;
  };
  const { body } = await new LfsReader(optionsFor(store)).open(value);
  await body.cancel();
  const limited = new LfsReader(optionsFor(store, { maxSize: promised - 1 }));
  await assert.rejects(limited.open(value), { code: "too-large" });
});

test("the size is checked before anything is fetched", async () => {
  const reader = new LfsReader(optionsFor(store, { maxSize: BODY.length - 1 }));
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "too-large", name: "TooLargeError" });
  assert.equal(store.requests.length, 0);
});

test("only allowed buckets and prefixes are followed", async () => {
  const reader = new LfsReader(optionsFor(store, { buckets: ["a", "kafscale"], prefixes: ["x/", "lfs/default/"] }));
  assert.equal((await reader.resolve(envelopeOf(BODY))).value.length, BODY.length);
  for (const fields of [{ s3_bucket: "b" }, { s3_key: "lfs/other/k" }, { s3_key: "x/../lfs/default/k" }]) {
    await assert.rejects(reader.resolve(envelopeOf(BODY, fields)), EnvelopeNotAllowedError);
  }
  assert.equal(store.requests.length, 1);
});

test("a missing blob is an error, null, or the envelope", async () => {
  store.objects.clear();
  const value = envelopeOf(BODY);
  await assert.rejects(new LfsReader(optionsFor(store)).resolve(value), BlobMissingError);
  await assert.rejects(new LfsReader(optionsFor(store)).open(value), BlobMissingError);

  const skipping = new LfsReader(optionsFor(store, { onMissing: "skip" }));
  const skipped = await skipping.resolve(value);
  assert.deepEqual([skipped.value, skipped.missing, skipped.envelope.s3_key], [null, true, KEY]);
  assert.deepEqual((await skipping.open(value)).body, null);

  const keeping = new LfsReader(optionsFor(store, { onMissing: "envelope" }));
  assert.equal((await keeping.resolve(value)).value, value);
  const opened = await keeping.open(value);
  assert.deepEqual([await drained(opened.body), opened.missing], [value, true]);
});

test("a null of a tombstone and of a skipped blob are told apart", async () => {
  store.objects.clear();
  const skipping = new LfsReader(optionsFor(store, { onMissing: "skip" }));
  for (const [value, missing] of [
    [null, false],
    [envelopeOf(BODY), true],
  ]) {
    const resolved = await skipping.resolve(value);
    assert.deepEqual([resolved.value, resolved.missing], [null, missing]);
    const opened = await skipping.open(value);
    assert.deepEqual([opened.body, opened.missing], [null, missing]);
  }
});

test("onMissing does not hide other failures", async () => {
  spoil = (_request, response) => fail(response, 403, "AccessDenied");
  const reader = new LfsReader(optionsFor(store, { onMissing: "skip" }));
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "store-refused", message: /403 AccessDenied/ });
  spoil = (_request, response) => fail(response, 404, "NoSuchBucket");
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "store-refused" });
});

test("a redirect is not followed", async () => {
  spoil = (_request, response) => response.writeHead(307, { location: `${store.endpoint}/elsewhere` }).end() && true;
  await assert.rejects(new LfsReader(optionsFor(store)).resolve(envelopeOf(BODY)), { code: "store-refused" });
  assert.equal(store.requests.length, 1);
});

test("requests are signed for the region, without a word about the payload", async () => {
  const reader = new LfsReader(
    optionsFor(store, {
      region: "eu-central-1",
      credentials: async () => ({ accessKeyId: "AK", secretAccessKey: "SK", sessionToken: "token" }),
    }),
  );
  await reader.resolve(envelopeOf(BODY));
  const { headers } = store.requests[0];
  assert.match(headers.authorization, /^AWS4-HMAC-SHA256 Credential=AK\/\d{8}\/eu-central-1\/s3\/aws4_request, /);
  assert.match(headers.authorization, /SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token/);
  assert.equal(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
  assert.equal(headers["x-amz-security-token"], "token");
});

test("a presigned URL is asked for before each request", async () => {
  const asked = [];
  const source = presignedSource(async (envelope, record) => {
    asked.push([envelope.s3_key, record?.offset]);
    return `${store.endpoint}/kafscale/${envelope.s3_key}?signature=1`;
  });
  const reader = new LfsReader({ bucket: "kafscale", source });
  const message = { topic: "t", partition: 3, message: { value: envelopeOf(BODY), offset: "42" } };
  assert.equal((await reader.resolveMessage(message)).value.length, BODY.length);
  assert.deepEqual(asked, [[KEY, "42"]]);
  assert.equal(store.requests[0].headers.authorization, undefined);
});

test("a Kafka client's message is read, alone and with its coordinates", async () => {
  const reader = new LfsReader(optionsFor(store));
  const message = { key: null, value: envelopeOf(BODY), offset: "42", timestamp: "1", headers: {} };
  assert.equal((await reader.resolveMessage(message)).value.length, BODY.length);
  const payload = { topic: "t", partition: 0, message };
  assert.deepEqual(await drained((await reader.openMessage(payload)).body), BODY);
});

test("the proxy's download route is asked by record, with the API key, and what it gives is verified", async () => {
  const path = "/base/v1/topics/demo%20topic/partitions/3/records/42";
  spoil = (request, response, _body) => {
    assert.equal(request.url, path);
    assert.equal(request.headers.authorization, "Bearer secret-key");
    const { checksum } = JSON.parse(envelopeOf(BODY));
    response.writeHead(200, { "content-length": BODY.length, etag: `"${checksum}"` }).end(BODY);
    return true;
  };
  const reader = new LfsReader({ source: proxySource({ url: `${store.endpoint}/base/`, apiKey: "secret-key" }) });
  const record = { topic: "demo topic", partition: 3, offset: 42n };
  const value = envelopeOf(BODY, { s3_bucket: "any bucket" });
  assert.equal((await reader.resolve(value, { record })).value.length, BODY.length);
  await assert.rejects(reader.resolve(envelopeOf(Buffer.alloc(BODY.length)), { record }), {
    code: "checksum-mismatch",
  });
  await assert.rejects(reader.resolve(value), { code: "store-refused", message: /topic, partition and offset/ });
});

test("what the proxy says of a blob is the error of the same name", async () => {
  let problem;
  spoil = (_request, response) => {
    response.writeHead(problem[0], { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: `/problems/${problem[1]}`, detail: "so it is" }));
    return true;
  };
  const source = proxySource({ url: store.endpoint });
  const record = { topic: "t", partition: 0, offset: 1 };
  for (const [status, name, code] of [
    [404, "blob-missing", "blob-missing"],
    [502, "blob-truncated", "blob-truncated"],
    [403, "envelope-not-allowed", "envelope-not-allowed"],
    [404, "unknown-topic", "store-refused"],
    [401, "unauthorised", "store-refused"],
    [503, "store-unavailable", "store-unavailable"],
  ]) {
    problem = [status, name];
    const reader = new LfsReader({ source, pause: 0, tries: 2 });
    await assert.rejects(reader.resolve(envelopeOf(BODY), { record }), { code, message: /so it is/ }, name);
  }
});

test("options that cannot be used are refused at once", () => {
  for (const wrong of [
    {},
    { bucket: "b", onMissing: "ignore" },
    { bucket: "b", prefixes: "lfs/" },
    { bucket: "b", maxSize: -1 },
    { bucket: "b", tries: 0 },
    { bucket: "b", pause: -1 },
    { bucket: "b", pause: 2 ** 31 },
    { bucket: "b", retryTime: -1 },
    { bucket: "b", retryTime: Number.NaN },
    { bucket: "b", maxSize: Number.NaN },
    { bucket: "b", tries: "5" },
    { bucket: "b", caFile: "/dev/null", fetch },
    { bucket: "b", endpoint: "localhost:9000" },
    { bucket: "b", endpoint: "ftp://localhost" },
    { bucket: "b", endpoint: "http://localhost/?query" },
    { bucket: "b", endpoint: "http://user@localhost" },
    { bucket: "b", readTimeout: Number.POSITIVE_INFINITY },
    { bucket: "b", readTimeout: 2 ** 31 },
    { bucket: "b", endpoint: "localhost" },
    { bucket: "b", endpoint: "http://localhost/path" },
  ]) {
    const [named] = Object.keys(wrong).slice(1);
    assert.throws(() => new LfsReader(wrong), { name: SettingError.name, message: new RegExp(named ?? "bucket") });
  }
  assert.throws(() => new LfsReader({ bucket: "b", endpoint: "localhost:9000" }), {
    message: 'endpoint is "localhost:9000": an http or https URL without a path, query or user name is needed',
  });
});

test("an error says whether the same call may succeed later", async () => {
  const retriable = async (options) => {
    const error = await new LfsReader(optionsFor(store, options)).resolve(envelopeOf(BODY)).catch((found) => found);
    return [error.code, error.retriable];
  };
  assert.deepEqual(await retriable({ maxSize: 1 }), ["too-large", false]);
  assert.deepEqual(await retriable({ prefixes: ["other/"] }), ["envelope-not-allowed", false]);
  spoil = (_request, response) => fail(response, 503, "SlowDown");
  assert.deepEqual(await retriable({ tries: 1 }), ["store-unavailable", true]);
  spoil = (_request, response) => fail(response, 403, "AccessDenied");
  assert.deepEqual(await retriable({}), ["store-refused", false]);
});
