/** Builds dist/: the same library for Node.js (ES modules and CommonJS) and for browsers, with its types. */

import { execFileSync } from "node:child_process";
import { cp, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const BUILDS = [
  { folder: "esm", format: "esm", platform: "node", target: "node20", entries: ["index", "node"] },
  { folder: "cjs", format: "cjs", platform: "node", target: "node20", entries: ["index", "node"] },
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
    external: ["aws4fetch", "lossless-json", "@noble/hashes/*"],
    format,
    platform,
    target,
    sourcemap: true,
    logLevel: "warning",
  });
  await cp(here("dist/types"), here(`dist/${folder}`), { recursive: true });
  const type = format === "cjs" ? "commonjs" : "module";
  await writeFile(here(`dist/${folder}/package.json`), `${JSON.stringify({ type, sideEffects: false })}\n`);
}
await rm(here("dist/types"), { recursive: true });
