/** The checksums that all SDKs share, by Node's own code and by what browsers use. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { checksumOf } from "lfsproxy-client";

const ALGORITHMS = ["sha256", "crc32", "md5"];
const document = JSON.parse(await readFile(new URL("../../../tests/vectors/checksums.json", import.meta.url), "utf-8"));

let folder;
let browser;

before(async () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  folder = await mkdtemp(join(root, "node_modules/.lfsproxy-"));
  const outfile = join(folder, "browser.mjs");
  await build({
    absWorkingDir: root,
    stdin: { contents: 'export { checksumOf } from "lfsproxy-client";', resolveDir: root },
    bundle: true,
    platform: "browser",
    format: "esm",
    outfile,
    logLevel: "silent",
  });
  browser = await import(pathToFileURL(outfile).href);
});
after(() => rm(folder, { recursive: true }));

function bytesOf(vector) {
  return vector.base64 !== undefined
    ? Buffer.from(vector.base64, "base64")
    : Uint8Array.from({ length: vector.size }, (_, index) => (index * 31) % 251);
}

async function* pieces(bytes, size) {
  for (let start = 0; start < bytes.length; start += size) {
    yield bytes.subarray(start, start + size);
  }
}

test("the file has vectors", () => assert.ok(document.vectors.length > 0));

for (const vector of document.vectors) {
  test(vector.name, async () => {
    const bytes = bytesOf(vector);
    for (const algorithm of ALGORITHMS) {
      for (const size of document.pieces.filter((one) => bytes.length / one < 1000)) {
        assert.equal(await checksumOf(pieces(bytes, size), algorithm), vector[algorithm], `${algorithm} by ${size}`);
      }
      assert.equal(
        await browser.checksumOf(pieces(bytes, 65536), algorithm),
        vector[algorithm],
        `${algorithm}, browser`,
      );
    }
  });
}
