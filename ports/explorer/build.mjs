/** `npm run build`: page.js from src/, the port and the d3 modules; the same bytes everywhere. */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const output = process.argv[2] ?? here("page.js");

const { metafile, outputFiles } = await build({
  absWorkingDir: here("."),
  entryPoints: ["src/main.mjs"],
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  target: "es2022",
  legalComments: "none", // the licences, whole, are the banner
  metafile: true,
  write: false,
});

// The licences of the packages that are inside ask for their notice in every copy.
const packages = Object.keys(metafile.inputs).map((path) => path.match(/^node_modules\/([^/]+)\//)?.[1]);
const notices = new Map(); // text -> the packages that have it
for (const name of [...new Set(packages.filter(Boolean))].sort()) {
  const text = readFileSync(here(`node_modules/${name}/LICENSE`), "utf8").trim();
  notices.set(text, [...(notices.get(text) ?? []), name]);
}
const banner = [...notices].map(([text, names]) => `/*! ${names.join(", ")}\n\n${text}\n*/\n`).join("");
writeFileSync(output, banner + outputFiles[0].text);
