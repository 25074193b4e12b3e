/** Builds dist/: the same library for Node.js (ES modules and CommonJS) and for browsers, with its types. */

import { execFileSync } from "node:child_process";
import { cp, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The subpaths that package.json exports. They share no classes and no state with the index. */
const PARTS = ["node", "client-s3", "prom-client", "opentelemetry"];

const BUILDS = [
  { folder: "esm", format: "esm", platform: "node", target: "node20", entries: ["index", ...PARTS] },
  { folder: "cjs", format: "cjs", platform: "node", target: "node20", entries: ["index", ...PARTS] },
  { folder: "browser", format: "esm", platform: "browser", target: "es2022", entries: ["index"] },
];

await rm(here("dist"), { recursive: true, force: true });
execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.json")], {
  stdio: "inherit",
});
for (const { folder, format, platform, target, entries } of BUILDS) {
  await build({
    absWorkingDir: here("."),
    entryPoints: entries.map((entry) => `src/${entry}.ts`),
    outdir: `dist/${folder}`,
    bundle: true,
    splitting: false,
    packages: "external",
    format,
    platform,
    target,
    sourcemap: true,
    logLevel: "warning",
  });
  await cp(here("dist/types"), here(`dist/${folder}`), { recursive: true });
  if (platform === "browser") {
    await cp(here("dist/types/platform/bytes-browser.d.ts"), here("dist/browser/platform/bytes.d.ts"));
    await Promise.all(PARTS.map((part) => rm(here(`dist/browser/${part}.d.ts`))));
  }
  const type = format === "cjs" ? "commonjs" : "module";
  await writeFile(here(`dist/${folder}/package.json`), `${JSON.stringify({ type, sideEffects: false })}\n`);
}
await rm(here("dist/types"), { recursive: true });
