import { describe, expect, it } from "vitest";
import { keyOf, newsOf, parseNotice, titleWith, type Waiting } from "./waiting";

const one = (consultation: string, since: string, kind: Waiting["kind"] = "visit"): Waiting => ({
  consultation,
  kind,
  patient: "Demo patient 1",
  role: "patient",
  since,
  station: null,
});
const early = one("a", "2026-05-05T08:00:00Z");
const late = one("b", "2026-05-05T09:00:00Z");

describe("who waits", () => {
  it("is news once, longest first", () => {
    const first = newsOf(new Set(), [late, early], null);
    expect(first.waiting).toEqual([early, late]);
    expect(first.fresh).toEqual([early, late]);
    const second = newsOf(new Set(first.waiting.map(keyOf)), [early, late, one("c", "2026-05-05T10:00:00Z")], null);
    expect(second.fresh.map((news) => news.consultation)).toEqual(["c"]);
  });

  it("is news again for somebody who waits anew", () => {
    expect(newsOf(new Set([keyOf(early)]), [one("a", "2026-05-05T11:00:00Z")], null).fresh).toHaveLength(1);
  });

  it("is nobody of the visit that the page is in", () => {
    expect(newsOf(new Set(), [early, late], "a").waiting).toEqual([late]);
    expect(newsOf(new Set(), [early], "a").fresh).toEqual([]);
  });

  it("tells a patient from a guest at the door of the same visit", () => {
    expect(newsOf(new Set([keyOf(early)]), [early, one("a", early.since, "seat")], null).fresh).toHaveLength(1);
  });

  it("is nobody when everyone was let in", () => {
    expect(newsOf(new Set([keyOf(early)]), [], null)).toEqual({ waiting: [], fresh: [] });
  });
});

describe("the tab's title", () => {
  it.each([
    [0, "Telemed"],
    [2, "(2) Telemed"],
  ])("with %i waiting", (count, title) => {
    expect(titleWith(count, "Telemed")).toBe(title);
  });
});

describe("a message", () => {
  it.each([
    ['{"type":"waiting","waiting":[]}', { type: "waiting", waiting: [] }],
    ['{"type":"worklist"}', { type: "worklist" }],
    ['{"type":"waiting"}', null],
    ["[]", null],
    ["null", null],
    ["{", null],
  ])("%s", (text, message) => {
    expect(parseNotice(text)).toEqual(message);
  });
});
