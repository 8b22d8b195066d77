// Firefox, driven line by line: a JSON command on each line of standard input, its JSON answer on standard output.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , modules, executablePath] = process.argv;
const found = createRequire(`${modules}/`).resolve("puppeteer-core");
const { default: puppeteer } = await import(pathToFileURL(found).href);

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  headless: true,
  extraPrefsFirefox: {
    "intl.accept_languages": "bg",
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": true,
    "media.navigator.streams.fake": true,
  },
});
const page = await browser.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));

const commands = {
  size: ({ width, height }) => page.setViewport({ width, height }),
  before: ({ script }) => page.evaluateOnNewDocument(script),
  goto: ({ url }) => page.goto(url).then(() => null),
  click: ({ selector }) => page.locator(selector).click(),
  fill: ({ selector, text }) => page.locator(selector).fill(text),
  evaluate: ({ script }) => page.evaluate(script),
  picture: ({ path }) => page.screenshot({ path }).then(() => null),
  faults: () => faults,
  version: () => browser.version(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
