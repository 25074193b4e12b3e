/** The browser build in a headless Chromium (Debian's package `chromium`): the shared vectors, and more. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { CREDENTIALS, envelopeOf, etagOf, KEY, startStore } from "./fake-store.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const skip = existsSync(CHROMIUM)
  ? false
  : `SKIPPED, NOT TESTED: no Chromium at ${CHROMIUM} (apt-get install chromium)`;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

async function sharedVectors(name) {
  return JSON.parse(await readFile(new URL(`../../../tests/vectors/${name}`, import.meta.url), "utf-8"));
}

async function bundle() {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("browser/page.js", import.meta.url))],
    bundle: true,
    platform: "browser",
    format: "esm",
    write: false,
    logLevel: "silent",
  });
  return result.outputFiles[0].text;
}

test("the bundle for browsers needs nothing of Node.js", async () => {
  const code = await bundle();
  assert.doesNotMatch(code, /from\s*"node:|require\("/);
});

test("the browser build reads and uploads in Chromium", { skip, timeout: 60_000 }, async (context) => {
  const body = Buffer.from(Array.from({ length: 500_000 }, (_, index) => (index * 31) % 251));
  let current;
  let held;
  const store = await startStore((_request, response, found, first) => {
    if (current?.blob !== undefined) {
      response.setHeader("content-length", Buffer.byteLength(current.blob));
      response.end(current.blob);
      return true;
    }
    if (found === undefined || first > 0 || held !== undefined) {
      return false;
    }
    held = response;
    response.writeHead(200, { etag: etagOf(found), "content-length": found.length });
    response.write(found.subarray(0, 100_000));
    return true;
  });
  context.after(() => store.close());
  const { checksum } = JSON.parse(envelopeOf(body));
  const plan = {
    options: { bucket: "kafscale", endpoint: store.endpoint, pathStyle: true, credentials: CREDENTIALS, pause: 0 },
    envelopes: await sharedVectors("envelopes.json"),
    checksums: await sharedVectors("checksums.json"),
    dropped: { envelope: envelopeOf(body).toString(), sha256: checksum },
  };
  const page = await bundle();
  let told;
  const result = new Promise((resolve) => {
    told = resolve;
  });

  const ROUTES = {
    "/": (_request, response) =>
      response.setHeader("content-type", "text/html").end('<script type="module" src="/page.js"></script>'),
    "/page.js": (_request, response) => response.setHeader("content-type", "text/javascript").end(page),
    "/plan": (_request, response) => response.end(JSON.stringify(plan)),
    "/vector": (request, response) => {
      current = plan.envelopes.vectors[Number(request.url.split("?")[1])];
      if (current === undefined) {
        store.put("kafscale", KEY, body);
      }
      response.end();
    },
    "/cut": (_request, response) => {
      held.destroy();
      response.end();
    },
    "/v1/topics/t/partitions/0/records/7": (_request, response) => response.end(body),
    "/v1/topics/t/records": async (request, response) => {
      const hash = createHash("sha256");
      for await (const chunk of request) {
        hash.update(chunk);
      }
      response.writeHead(201, { "content-type": "application/json" });
      const record = { topic: "t", partition: 0, offset: 7, timestamp: 0, envelope: JSON.parse(envelopeOf(body)) };
      response.end(JSON.stringify({ ...record, sha256: hash.digest("hex") }));
    },
    "/result": async (request, response) => {
      const chunks = await request.toArray();
      response.end();
      told(JSON.parse(Buffer.concat(chunks)));
    },
  };
  const server = createServer((request, response) => {
    const route = ROUTES[request.url.split("?")[0]];
    return route ? route(request, response) : response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });

  const profile = await mkdtemp(join(tmpdir(), "lfsproxy-chromium-"));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const chromium = spawn(CHROMIUM, [...FLAGS, `--user-data-dir=${profile}`, "--remote-debugging-port=0", url], {
    stdio: "ignore",
  });
  context.after(async () => {
    const gone = once(chromium, "exit");
    chromium.kill();
    await gone;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const { failures, checks } = await result;
  assert.deepEqual(failures, []);
  const { headers } = store.requests.find((one) => one.headers.range !== undefined);
  assert.match(headers.range, /^bytes=[1-9]\d*-$/);
  assert.equal(headers["if-match"], etagOf(body));
  context.diagnostic(`${checks} checks in Chromium`);
  assert.ok(checks > 100);
});
