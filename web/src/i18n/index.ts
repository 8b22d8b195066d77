/**
 * Words in two languages, switchable at any moment: `t` reads the language signal, so whatever drew a word draws it anew.
 */
import { signal } from "@preact/signals";
import { IntlMessageFormat } from "intl-messageformat";
import bg from "../../telemed_web/catalogues/bg.json";
import en from "../../telemed_web/catalogues/en.json";
import type { Key } from "./keys";

export type Language = "bg" | "en";
export type Params = Readonly<Record<string, string | number>>;

const CATALOGUES: Record<Language, Readonly<Record<string, string>>> = { bg, en };
const REMEMBERED = "telemed.language";

/** Bulgarian unless the browser asks for English first and never for Bulgarian. */
export function preferredLanguage(languages: readonly string[]): Language {
  const known = spoken(languages);
  if (known.includes("bg") || !known.includes("en")) return "bg";
  return "en";
}

function spoken(languages: readonly string[]): string[] {
  return languages.map((language) => language.slice(0, 2).toLowerCase());
}

function initialLanguage(): Language {
  if (typeof localStorage !== "undefined") {
    const remembered = localStorage.getItem(REMEMBERED);
    if (remembered === "bg" || remembered === "en") return remembered;
  }
  return preferredLanguage(typeof navigator === "undefined" ? [] : navigator.languages);
}

export const language = signal<Language>(initialLanguage());

/** Show every page in this language from now on; this browser remembers it. */
export function chooseLanguage(chosen: Language): void {
  language.value = chosen;
  localStorage.setItem(REMEMBERED, chosen);
}

/** Neither was a language chosen in this browser nor does it ask for one of ours, so the account's own decides. */
export function languageIsOpen(): boolean {
  const asked = spoken(navigator.languages);
  return localStorage.getItem(REMEMBERED) === null && !asked.includes("bg") && !asked.includes("en");
}

const formats = new Map<string, IntlMessageFormat>();

function format(key: string, params: Params | undefined, current: Language = language.value): string {
  const pattern = CATALOGUES[current][key];
  if (pattern === undefined) return key;
  if (!pattern.includes("{") && !pattern.includes("'")) return pattern;
  const id = `${current}\n${key}`;
  let message = formats.get(id);
  if (message === undefined) {
    message = new IntlMessageFormat(pattern, current, undefined, { ignoreTag: true });
    formats.set(id, message);
  }
  return String(message.format(params as Record<string, string | number> | undefined));
}

/** The words for a key. */
export function t(key: Key, params?: Params): string {
  return format(key, params);
}

/** The words for a key in a language that need not be the page's: for paper that goes to somebody else. */
export function wordsIn(which: Language, key: Key, params?: Params): string {
  return format(key, params, which);
}

/** The sentence for an error's code; a code without one gets the general sentence that names it. */
export function errorSentence(code: string, params?: Params): string {
  const key = `error.${code}`;
  if (!(key in CATALOGUES[language.value])) return format("error.unknown", { code });
  const named = [...(CATALOGUES[language.value][key] ?? "").matchAll(/\{(\w+)/g)].map((match) => match[1] ?? "");
  return format(key, { ...Object.fromEntries(named.map((name) => [name, "…"])), ...params });
}

/** The words for a device's remark on the quality of its number; a remark without words is shown as it is. */
export function qualityWords(code: string): string {
  const key = `quality.${code}`;
  return key in CATALOGUES[language.value] ? format(key, undefined) : code;
}
