import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { IntlMessageFormat } from "intl-messageformat";
import { describe, expect, it } from "vitest";

const web = fileURLToPath(new URL("../../", import.meta.url));
const read = (language: string): Record<string, string> =>
  JSON.parse(readFileSync(`${web}telemed_web/catalogues/${language}.json`, "utf8")) as Record<string, string>;
const en = read("en");
const bg = read("bg");

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) && !entry.name.includes(".test.") && entry.name !== "keys.ts" ? [path] : [];
  });
}

const LITERAL = 0;
const POUND = 7;
type Parsed = ReturnType<IntlMessageFormat["getAst"]>;

function parameters(elements: Parsed): string[] {
  return elements.flatMap((element) => {
    if (element.type === LITERAL || element.type === POUND) return [];
    const options = "options" in element ? Object.values(element.options) : [];
    return [element.value, ...options.flatMap((option) => parameters(option.value))];
  });
}

const parse = (text: string): Parsed => new IntlMessageFormat(text, "en", undefined, { ignoreTag: true }).getAst();

describe("the catalogues", () => {
  it("have the same keys", () => {
    expect(Object.keys(bg).sort()).toEqual(Object.keys(en).sort());
  });

  it("are what the generated keys say", () => {
    expect(() =>
      execFileSync("node", [`${web}scripts/catalogue-keys.mjs`, "--check"], { stdio: "pipe" }),
    ).not.toThrow();
  });

  it("hold no key of the pages that nothing uses", () => {
    const code = sources(`${web}src`)
      .map((path) => readFileSync(path, "utf8"))
      .join("\n");
    // Errors and the devices' quality words are looked up by code, in Python too; invitations and what commands print
    // are written there alone.
    const byCode = (key: string) => /^(command|error|quality|invitation)\./.test(key);
    const unused = Object.keys(en).filter((key) => !byCode(key) && !code.includes(`"${key}"`));
    expect(unused).toEqual([]);
  });

  it.each(Object.keys(en))("say the same with the same parameters: %s", (key) => {
    const names = (text: string) => [...new Set(parameters(parse(text)))].sort();
    expect(names(bg[key] ?? "")).toEqual(names(en[key] ?? ""));
    expect((en[key] ?? "").trim()).toBe(en[key]);
    expect((bg[key] ?? "").trim()).toBe(bg[key]);
    if (key.startsWith("error.")) expect(bg[key]).toMatch(/\p{Script=Cyrillic}{3}/u);
    expect(en[key]).not.toMatch(/\p{Script=Cyrillic}/u);
  });
});
