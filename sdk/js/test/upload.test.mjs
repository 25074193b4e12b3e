/** Uploads to a proxy of one process that answers as the real one does. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { appendFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { UploadError, upload } from "lfsproxy-client";
import { envelopeOf } from "./fake-store.mjs";

const BODY = Buffer.alloc(3_000_000, "an upload ");
let folder;
let path;
let server;
let url;
let received;
let answer;

const PUBLISHED = {
  topic: "t",
  partition: 1,
  offset: 7,
  timestamp: 1700000000000,
  envelope: JSON.parse(envelopeOf(BODY)),
};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lfsproxy-client-"));
  path = join(folder, "clip é.mp4");
  await writeFile(path, BODY);
});
after(() => rm(folder, { recursive: true }));

beforeEach(async () => {
  received = [];
  answer = async (request, response) => {
    const hash = createHash("sha256");
    let length = 0;
    for await (const chunk of request) {
      hash.update(chunk);
      length += chunk.length;
    }
    const { pathname, searchParams } = new URL(request.url, "http://proxy");
    const options = [...searchParams].map(([name, value]) => `${name}=${value}`);
    received.push({ pathname, options, headers: request.headers, length, sha256: hash.digest("hex") });
    json(response, 201, "application/json", PUBLISHED);
  };
  server = createServer((request, response) => {
    answer(request, response)?.catch?.((error) => assert.equal(error.code, "ECONNRESET"));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function json(response, status, type, body, headers = {}) {
  response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(body));
}

const problem = (response, status, name, more = {}, headers = {}) =>
  json(response, status, "application/problem+json", { type: `/problems/${name}`, status, ...more }, headers);

test("every kind of body arrives whole, with its length where that is known", async () => {
  const sha256 = createHash("sha256").update(BODY).digest("hex");
  async function* iterated() {
    yield BODY.subarray(0, 1000);
    yield BODY.subarray(1000);
  }
  for (const [body, length] of [
    [new Uint8Array(BODY), String(BODY.length)],
    [new Blob([BODY]), String(BODY.length)],
    [new File([BODY], "f"), String(BODY.length)],
    [{ path }, String(BODY.length)],
    [new Blob([BODY]).stream(), undefined],
    [createReadStream(path), undefined],
    [iterated(), undefined],
  ]) {
    const published = await upload(url, "demo topic", body);
    assert.deepEqual(published, PUBLISHED);
    const { pathname, headers, ...got } = received.at(-1);
    assert.equal(pathname, "/v1/topics/demo%20topic/records");
    assert.deepEqual([got.length, got.sha256], [BODY.length, sha256], body.constructor.name);
    assert.equal(headers["content-length"], length, body.constructor.name);
    assert.equal(headers["transfer-encoding"], length === undefined ? "chunked" : undefined, body.constructor.name);
    assert.equal(headers["content-type"], "application/octet-stream");
  }
});

test("an empty body is sent as one of no bytes", async () => {
  await upload(url, "t", new Uint8Array());
  assert.deepEqual([received[0].length, received[0].headers["content-length"]], [0, "0"]);
});

test("the record's options go by the query", async () => {
  await upload(`${url}/base/`, "t", new Blob([BODY], { type: "video/mp4" }), {
    key: "user 1&2",
    partition: 0,
    timestamp: 1700000000000,
    headers: { source: "camera:7", é: "ü" },
    checksum: "3610A686",
    filename: "a=b.mp4",
    apiKey: "secret-key",
  });
  const [{ pathname, options, headers }] = received;
  assert.equal(pathname, "/base/v1/topics/t/records");
  assert.deepEqual(options, [
    "key=user 1&2",
    "header=source:camera:7",
    "header=é:ü",
    "header=lfs-filename:a=b.mp4",
    "partition=0",
    "timestamp=1700000000000",
    "content_type=video/mp4",
    "checksum=3610a686",
    "checksum_algo=crc32",
  ]);
  assert.equal(headers.authorization, "Bearer secret-key");
});

test("a key of bytes, headers that occur twice, and the names of files", async () => {
  await upload(
    url,
    "t",
    { path },
    {
      key: Uint8Array.of(0, 255, 62),
      headers: [
        ["a", "1"],
        ["a", "2"],
      ],
    },
  );
  await upload(url, "t", new File(["x"], "note.txt", { type: "multipart/form-data; boundary=x" }));
  await upload(url, "t", { path }, { filename: "", contentType: "text/plain" });
  assert.deepEqual(received[0].options, [
    "key_base64=AP8+",
    "header=a:1",
    "header=a:2",
    "header=lfs-filename:clip é.mp4",
  ]);
  assert.deepEqual(received[1].options, [
    "header=lfs-filename:note.txt",
    "content_type=multipart/form-data; boundary=x",
  ]);
  assert.deepEqual(received[2].options, ["content_type=text/plain"]);
});

test("progress is told up to the last byte, which comes when the record is published", async () => {
  for (const [body, length] of [
    [{ path }, BODY.length],
    [createReadStream(path), BODY.length],
    [new Uint8Array(), 0],
  ]) {
    const told = [];
    await upload(url, "t", body, { onProgress: (...sent) => told.push(...sent) });
    assert.equal(told.at(-1), length);
    assert.ok(
      told.every((one, at) => Number.isInteger(one) && one >= (told[at - 1] ?? 0)),
      told.join(),
    );
    assert.ok(length === 0 || told.length > 1);
  }
});

test("progress that throws or rejects does not spoil the upload, and is reported", async (context) => {
  const reported = context.mock.method(console, "error", () => undefined);
  const throwing = () => {
    throw new Error("broken hook");
  };
  for (const onProgress of [throwing, async () => throwing()]) {
    assert.deepEqual(await upload(url, "t", { path }, { onProgress }), PUBLISHED);
  }
  await new Promise(setImmediate); // an unhandled rejection would fail this test
  assert.ok(reported.mock.callCount() > 2);
});

test("a 503 without a reason says that the proxy is unavailable", async () => {
  answer = (request, response) => request.resume().on("end", () => response.writeHead(503).end("no backend"));
  await assert.rejects(upload(url, "t", BODY), { code: "proxy-unavailable", status: 503, retriable: true });
});

test("one signal serves many uploads", async (context) => {
  const warned = context.mock.method(process, "emitWarning", () => undefined);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 15 }, () => upload(url, "t", Buffer.from("x"), { signal })));
  assert.equal(warned.mock.callCount(), 0);
});

test("a problem is an error with its type's name, and what the proxy said", async () => {
  answer = (request, response) => {
    request
      .resume()
      .on("end", () =>
        problem(response, 400, "checksum-mismatch", { detail: "the sha256 differs", expected: "a", actual: "b" }),
      );
  };
  await assert.rejects(upload(url, "t", BODY), (error) => {
    assert.ok(error instanceof UploadError);
    assert.deepEqual(
      [error.code, error.status, error.message, error.problem.expected, error.retriable],
      ["checksum-mismatch", 400, "the sha256 differs", "a", false],
    );
    return true;
  });
});

test("what may be tried again says so, and an unknown outcome does not", async () => {
  for (const [status, name, headers, retryAfter, retriable] of [
    [503, "draining", { "retry-after": "7" }, 7, true],
    [408, "stalled", {}, undefined, true],
    [504, "outcome-unknown", {}, undefined, false],
    [404, "unknown-topic", {}, undefined, false],
  ]) {
    answer = (request, response) => request.resume().on("end", () => problem(response, status, name, {}, headers));
    await assert.rejects(upload(url, "t", BODY), { code: name, status, retryAfter, retriable });
  }
});

test("an answer that is no problem keeps its status", async () => {
  for (const [type, text] of [
    ["text/html", "<h1>Bad gateway</h1>"],
    ["application/problem+json", "{"],
    ["application/problem+json", "null"],
  ]) {
    answer = (request, response) =>
      request.resume().on("end", () => response.writeHead(502, { "content-type": type }).end(text));
    await assert.rejects(upload(url, "t", BODY), { code: "http-502", status: 502, problem: undefined });
  }
});

test("an answer before the whole body was sent is the answer", async () => {
  answer = (request, response) => {
    problem(response, 413, "too-large", { detail: "LFS_MAX_UPLOAD_SIZE" }, { connection: "close" });
    request.resume();
  };
  await assert.rejects(upload(url, "t", BODY), { code: "too-large", message: "LFS_MAX_UPLOAD_SIZE" });
});

test("a proxy that is not there published nothing", async () => {
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  for (const body of [BODY, new Blob([BODY]), { path }]) {
    await assert.rejects(upload(`http://127.0.0.1:${port}`, "t", body), {
      code: "proxy-unavailable",
      retriable: true,
      status: undefined,
    });
  }
});

test("a connection that breaks amid the body published nothing", async () => {
  answer = (request) => request.once("data", () => request.socket.destroy());
  async function* endless() {
    for (;;) {
      yield BODY;
    }
  }
  await assert.rejects(upload(url, "t", endless()), { code: "proxy-unavailable" });
});

test("an answer before the body's end lets go of the body", async () => {
  answer = (_request, response) => problem(response, 413, "too-large");
  let released = false;
  async function* endless() {
    try {
      for (;;) {
        yield BODY;
      }
    } finally {
      released = true;
    }
  }
  await assert.rejects(upload(url, "t", endless()), { code: "too-large" });
  assert.ok(released);
});

test("a connection that breaks after the body leaves the outcome unknown", async () => {
  answer = (request) => request.resume().on("end", () => request.socket.destroy());
  await assert.rejects(upload(url, "t", BODY), { code: "outcome-unknown", retriable: false });
});

test("so does one that breaks on an empty body, which the proxy has with the headers", async () => {
  answer = (request) => request.socket.destroy();
  const fetch = (...asked) => {
    asked[1].body.cancel(); // as one that sees the end by Content-Length
    return globalThis.fetch(asked[0], { method: "POST" });
  };
  await assert.rejects(upload(url, "t", new Uint8Array(), { fetch }), { code: "outcome-unknown" });
});

test("an answer of success that breaks off leaves the outcome unknown", async () => {
  answer = (request, response) =>
    request.resume().on("end", () => {
      response.writeHead(201, { "content-length": 1000 });
      response.write("{", () => response.destroy());
    });
  await assert.rejects(upload(url, "t", BODY), { code: "outcome-unknown", status: 201 });
});

test("an answer of success that names no record leaves the outcome unknown", async () => {
  for (const odd of [null, {}, [], { ...PUBLISHED, offset: "7" }, { ...PUBLISHED, envelope: { lfs_version: 1 } }]) {
    answer = (request, response) => request.resume().on("end", () => json(response, 201, "application/json", odd));
    await assert.rejects(upload(url, "t", BODY), { code: "outcome-unknown", status: 201, retriable: false });
  }
});

test("a file that grows meanwhile is sent as long as it was, and one that shrinks is not published", async () => {
  const changing = join(folder, "changing");
  await writeFile(changing, BODY);
  const after = (change) => ({
    fetch: async (...asked) => {
      await change();
      return fetch(...asked);
    },
  });
  await upload(
    url,
    "t",
    { path: changing },
    after(() => appendFile(changing, "more")),
  );
  assert.equal(received[0].length, BODY.length);
  await assert.rejects(
    upload(
      url,
      "t",
      { path: changing },
      after(() => truncate(changing, 1_000_000)),
    ),
    {
      message: "the body ended 2000004 bytes before its length",
    },
  );
  assert.equal(received.length, 1);
});

test("what reading the body throws is what the upload throws", async () => {
  const broken = new Error("disk");
  async function* failing() {
    yield BODY;
    throw broken;
  }
  await assert.rejects(upload(url, "t", failing()), broken);
  await assert.rejects(upload(url, "t", { path: join(folder, "none") }), { code: "ENOENT" });
  await assert.rejects(upload(url, "t", "text"), TypeError);
});

test("the caller's signal ends an upload", async () => {
  const reason = new Error("enough");
  const stopping = new AbortController();
  answer = () => stopping.abort(reason);
  await assert.rejects(upload(url, "t", BODY, { signal: stopping.signal }), reason);
  await assert.rejects(upload(url, "t", BODY, { signal: AbortSignal.abort(reason) }), reason);
});

test("a checksum that is none is refused before anything is sent", async () => {
  await assert.rejects(upload(url, "t", BODY, { checksum: "abc" }), { code: "invalid-checksum" });
  await assert.rejects(upload(url, "t", BODY, { algorithm: "sha1" }), { code: "invalid-checksum" });
  assert.equal(received.length, 0);
});
