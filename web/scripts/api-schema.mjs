// Writes src/api/schema.d.ts, the types of the API's answers that the pages read, from the OpenAPI document:
//   npm run api [ADDRESS or FILE [OUTPUT]]   (a running `telemed demo` at http://127.0.0.1:8080 by default)
// Only the models named here and what they are made of are written, without descriptions.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const PAGES_READ = [
  "Me",
  "SignInNew",
  "LanguageChoice",
  "Consultations",
  "ConsultationNew",
  "ConsultationShown",
  "Stations",
  "Review",
  "Trend",
  "Recordings",
  "Colleagues",
  "PatientNew",
  "PatientShown",
  "IdentifierChecked",
  "AttachmentShown",
  "Intervals",
  "TicketsListed",
  "TicketNew",
  "InvitationShown",
  "Notes",
  "TicketShown",
  "VisitShown",
  "LineShown",
  "OrganisationShown",
];

const source = process.argv[2] ?? "http://127.0.0.1:8080";
const text = /^https?:/.test(source)
  ? await (await fetch(new URL("/openapi.json", source))).text()
  : readFileSync(source, "utf8");
const { openapi, info, components } = JSON.parse(text);

const schemas = {};
const take = (name) => {
  if (name in schemas) return;
  schemas[name] = bare(components.schemas[name]);
  for (const [, inner] of JSON.stringify(schemas[name]).matchAll(/#\/components\/schemas\/(\w+)/g)) take(inner);
};

/** The schema without words and without bounds: types say neither. */
function bare(schema) {
  if (Array.isArray(schema)) return schema.map(bare);
  if (typeof schema !== "object" || schema === null) return schema;
  const silent = ["description", "title", "format", "minLength", "maxLength", "default"];
  const entries = Object.entries(schema).filter(([key, value]) => !silent.includes(key) || typeof value === "object");
  return Object.fromEntries(entries.map(([key, value]) => [key, bare(value)]));
}

PAGES_READ.forEach(take);
const types = astToString(await openapiTS({ openapi, info, paths: {}, components: { schemas } }));
writeFileSync(
  process.argv[3] ?? new URL("../src/api/schema.d.ts", import.meta.url),
  `// Made by scripts/api-schema.mjs from the server's /openapi.json; run "npm run api" after changing the API.\n${types}`,
);
