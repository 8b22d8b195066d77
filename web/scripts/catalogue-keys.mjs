// Writes src/i18n/keys.ts: the names of every sentence in the catalogues, so that a wrong key fails the type check.
// With --check it only says whether the file is up to date.
import { readFileSync, writeFileSync } from "node:fs";

const read = (language) =>
  JSON.parse(readFileSync(new URL(`../telemed_web/catalogues/${language}.json`, import.meta.url), "utf8"));
const keys = [...new Set([...Object.keys(read("en")), ...Object.keys(read("bg"))])].sort();
const lines = [];
for (const key of keys) {
  const part = `| ${JSON.stringify(key)}`;
  const last = lines.at(-1);
  if (last !== undefined && last.length + part.length < 118) lines[lines.length - 1] = `${last} ${part}`;
  else lines.push(`  ${part}`);
}
const head =
  '// Made by scripts/catalogue-keys.mjs from telemed_web/catalogues; run "npm run keys" after changing them.';
const text = `${head}\nexport type Key =\n${lines.join("\n")};\n`;
const file = new URL("../src/i18n/keys.ts", import.meta.url);

if (process.argv.includes("--check")) {
  let present = "";
  try {
    present = readFileSync(file, "utf8");
  } catch {}
  if (present !== text) {
    console.error("src/i18n/keys.ts is not what the catalogues say: run npm run keys");
    process.exit(1);
  }
} else writeFileSync(file, text);
