/** Stores whose certificate is signed by an authority that the runtime does not know. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { LfsReader } from "lfsproxy-client";
import { generate } from "selfsigned";
import { CREDENTIALS, drained, envelopeOf, KEY } from "./fake-store.mjs";

const BODY = Buffer.alloc(2_000_000, "a blob ");
let folder;
let caFile;
let server;
let endpoint;
let answer;
let ports;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lfsproxy-client-"));
  caFile = join(folder, "ca.pem");
  const names = [{ type: 2, value: "localhost" }];
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    extensions: [{ name: "subjectAltName", altNames: names }],
  });
  await writeFile(caFile, `# of the tests\n${cert}\n${cert}`);
  server = createServer({ cert, key }, (request, response) => {
    ports.add(request.socket.remotePort);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = `https://localhost:${server.address().port}`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});
afterEach(() => server.closeAllConnections());

const fromEnvironment = (variables, options = {}) =>
  LfsReader.fromEnvironment({ endpoint, pathStyle: true, credentials: CREDENTIALS, pause: 0, ...options }, variables);

function whole(request, response) {
  const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range)?.[1] ?? 0);
  assert.match(request.headers.authorization, /^AWS4-HMAC-SHA256 /);
  assert.equal(request.url, `/kafscale/${KEY}`);
  response.writeHead(first > 0 ? 206 : 200, { "content-length": BODY.length - first, etag: '"one"' });
  response.end(BODY.subarray(first));
}

test("the authority in LFS_S3_CA, else in AWS_CA_BUNDLE, else the option, is trusted", async () => {
  answer = whole;
  for (const [variables, options] of [
    [{ LFS_S3_CA: caFile, AWS_CA_BUNDLE: "/not/there" }, {}],
    [{ LFS_S3_CA: "", AWS_CA_BUNDLE: caFile }, {}],
    [{ LFS_S3_CA: "/not/there" }, { caFile }],
  ]) {
    ports = new Set();
    const reader = fromEnvironment(variables, options);
    for (let round = 0; round < 3; round += 1) {
      assert.ok((await reader.resolve(envelopeOf(BODY))).value.equals(BODY));
    }
    assert.ok((await drained((await reader.open(envelopeOf(BODY))).body)).equals(BODY));
    assert.equal(ports.size, 1); // one connection served them all
  }
});

test("without it the store is not trusted, nor with another one", async () => {
  answer = whole;
  ports = new Set();
  const reader = fromEnvironment({}, { tries: 1 });
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "store-unavailable", message: /self-signed/ });
  const { cert } = await generate([{ name: "commonName", value: "localhost" }], { keyType: "ec" });
  const other = join(folder, "other.pem");
  await writeFile(other, cert);
  const mistrusting = fromEnvironment({ LFS_S3_CA: other }, { tries: 1 });
  await assert.rejects(mistrusting.resolve(envelopeOf(BODY)), { code: "store-unavailable" });
  assert.equal(ports.size, 0);
});

test("a file that cannot be used is refused at construction, by the name of what names it", async () => {
  const empty = join(folder, "empty.pem");
  await writeFile(empty, "");
  const broken = join(folder, "broken.pem");
  await writeFile(broken, "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
  for (const file of [empty, broken, "/not/there"]) {
    const named = (name) => ({ code: "invalid-setting", message: new RegExp(`^${name} is ".*PEM certificates`) });
    assert.throws(() => fromEnvironment({ LFS_S3_CA: file }), named("LFS_S3_CA"));
    assert.throws(() => fromEnvironment({ AWS_CA_BUNDLE: file }), named("AWS_CA_BUNDLE"));
    assert.throws(() => fromEnvironment({}, { caFile: file }), named("caFile"));
    fromEnvironment({ LFS_S3_CA: file }, { endpoint: "http://localhost" }); // no certificate is looked at
    fromEnvironment({ LFS_S3_CA: file }, { fetch });
  }
});

test("such a connection is taken up where it broke, tried again, and let go of like any other", async () => {
  ports = new Set();
  const ranges = [];
  answer = (request, response) => {
    ranges.push(request.headers.range);
    if (ranges.length === 1) {
      response.writeHead(503).end("SlowDown");
    } else if (ranges.length === 2) {
      response.writeHead(200, { "content-length": BODY.length, etag: '"one"' });
      response.write(BODY.subarray(0, 500_000), () => response.destroy());
    } else {
      whole(request, response);
    }
  };
  const reader = fromEnvironment({ LFS_S3_CA: caFile });
  assert.ok((await reader.resolve(envelopeOf(BODY))).value.equals(BODY));
  assert.equal(ranges.length, 3);
  assert.match(ranges[2], /^bytes=[1-9]\d*-$/);

  // The same where the connection is lost while nobody reads.
  let lost;
  answer = (request, response) => {
    if (request.headers.range !== undefined || lost !== undefined) {
      return whole(request, response);
    }
    lost = new Promise((resolve) => response.on("close", () => setTimeout(resolve, 50)));
    response.writeHead(200, { "content-length": BODY.length, etag: '"one"' });
    response.write(BODY.subarray(0, 1000), () => response.destroy());
  };
  const unread = await reader.open(envelopeOf(BODY));
  await lost;
  assert.ok((await drained(unread.body)).equals(BODY));

  answer = (_request, response) => response.writeHead(304).end();
  await assert.rejects(reader.resolve(envelopeOf(BODY)), { code: "store-refused" });

  let closed;
  answer = (_request, response) => {
    closed = new Promise((resolve) => response.on("close", resolve));
    response.writeHead(200, { "content-length": BODY.length }).write(BODY.subarray(0, 1000));
  };
  const { body } = await reader.open(envelopeOf(BODY));
  await body.cancel();
  await closed;
  const control = new AbortController();
  await reader.open(envelopeOf(BODY), { signal: control.signal });
  control.abort();
  await closed;
});
