/** An S3 of one process over HTTP, whose answers a test can spoil. Verifies no signatures, but wants one. */

import { createHash } from "node:crypto";
import { createServer } from "node:http";

/**
 * Starts a store. `objects` maps "bucket/key" to bytes; `requests` records what came. `spoil(request, response,
 * body, first)` may answer by itself and return true.
 */
export async function startStore(spoil = () => false) {
  const objects = new Map();
  const requests = [];
  const server = createServer((request, response) => {
    const [path] = request.url.split("?");
    requests.push({ method: request.method, path, headers: request.headers });
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*, authorization");
    response.setHeader("access-control-expose-headers", "*");
    if (request.method === "OPTIONS") {
      response.end();
      return;
    }
    const body = objects.get(path.slice(1).split("/").map(decodeURIComponent).join("/"));
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    const first = range ? Number(range[1]) : 0;
    if (spoil(request, response, body, first)) {
      return;
    }
    if (body === undefined) {
      fail(response, 404, "NoSuchKey");
      return;
    }
    const etag = etagOf(body);
    if (request.headers["if-match"] && request.headers["if-match"] !== etag) {
      fail(response, 412, "PreconditionFailed");
      return;
    }
    if (first > 0 && first >= body.length) {
      fail(response, 416, "InvalidRange");
      return;
    }
    response.writeHead(range ? 206 : 200, { etag, "content-length": body.length - first });
    response.end(body.subarray(first));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    objects,
    requests,
    endpoint: `http://127.0.0.1:${server.address().port}`,
    put: (bucket, key, body) => objects.set(`${bucket}/${key}`, Buffer.from(body)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function etagOf(body) {
  return `"${createHash("md5").update(body).digest("hex")}"`;
}

/** Answers as S3 does; true, for `spoil`. */
export function fail(response, status, code) {
  const text = `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`;
  response.writeHead(status, { "content-type": "application/xml", "content-length": text.length });
  response.end(text);
  return true;
}

/** Sends `size` bytes of what was promised, then drops the connection; true, for `spoil`. */
export function cut(response, body, first, size) {
  response.writeHead(first > 0 ? 206 : 200, { etag: etagOf(body), "content-length": body.length - first });
  response.write(body.subarray(first, first + size), () => response.destroy());
  return true;
}

export const KEY = "lfs/default/demo-topic/0/42-6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e.bin";

/** The envelope's bytes for a blob. */
export function envelopeOf(body, fields = {}) {
  return Buffer.from(
    JSON.stringify({
      lfs_version: 1,
      s3_bucket: "kafscale",
      s3_key: KEY,
      content_type: "application/octet-stream",
      content_length: body.length,
      checksum_algo: "sha256",
      checksum: createHash("sha256").update(body).digest("hex"),
      ...fields,
    }),
  );
}

export const CREDENTIALS = { accessKeyId: "key", secretAccessKey: "secret" };

/** Options of a reader of this store which does not wait between its tries. */
export function optionsFor(store, more = {}) {
  return { bucket: "kafscale", endpoint: store.endpoint, pathStyle: true, credentials: CREDENTIALS, pause: 0, ...more };
}

/** All bytes of a web stream. */
export async function drained(body) {
  const chunks = [];
  for await (const chunk of body) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Drops the connection without an answer; true, for `spoil`. */
export function drop(response) {
  response.destroy();
  return true;
}
