/** npm runs this for `npm ci`, `npm pack` and `npm install` of this folder: it builds dist/, so that none of them needs more. */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

if (!existsSync(new URL("node_modules/esbuild", import.meta.url))) {
  // To a project outside of it, npm only links this folder, and installs nothing in it. Without the scripts,
  // of which this program is one.
  execFileSync(process.execPath, [process.env.npm_execpath, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdio: "inherit",
  });
}
await import("./build.mjs");
