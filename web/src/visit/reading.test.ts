import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Line } from "../protocol/people";
import { helpsAgain } from "./faults";
import { Reading } from "./reading";

const said = (n: number, by: string): Line => ({
  n,
  line: `line ${n}`,
  by: { id: by, role: by === "doctor" ? "clinician" : "patient", name: null },
  at: "2026-11-22T10:00:00Z",
  text: `words ${n}`,
  file: null,
});

describe("what was read", () => {
  const kept = new Map<string, string>();
  beforeEach(() => {
    kept.clear();
    vi.stubGlobal("sessionStorage", {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  it("is what others said up to the newest line that was on the screen", () => {
    const reading = new Reading("visit", "seat");
    const lines = [said(1, "doctor"), said(2, "me"), said(3, "doctor")];
    expect(reading.unread(lines, "me").map((line) => line.n)).toEqual([1, 3]);
    reading.read(lines.slice(0, 2));
    expect(reading.unread(lines, "me").map((line) => line.n)).toEqual([3]);
    reading.read([]);
    expect(reading.through.value).toBe(2);
  });

  it("stays read when the page is loaded anew, for this visit and this seat alone", () => {
    new Reading("visit", "seat").read([said(1, "doctor")]);
    const later = [said(1, "doctor"), said(2, "doctor")];
    expect(new Reading("visit", "seat").unread(later, "me").map((line) => line.n)).toEqual([2]);
    expect(new Reading("visit", "other").unread(later, "me")).toHaveLength(2);
    expect(new Reading("other", "seat").unread(later, "me")).toHaveLength(2);
  });

  it("is nothing where what was kept is no number", () => {
    kept.set("telemed.read.visit.seat", "none");
    expect(new Reading("visit", "seat").through.value).toBe(0);
  });
});

describe("trying again", () => {
  it("is offered only where it can help", () => {
    for (const code of ["visit_over", "ticket_expired", "ticket_revoked", "ticket_unknown", "seat_refused"])
      expect(helpsAgain(code)).toBe(false);
    for (const code of ["seats_full", "internal_error", "database_unavailable"]) expect(helpsAgain(code)).toBe(true);
  });
});
