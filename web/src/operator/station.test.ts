import { describe, expect, it } from "vitest";
import type { ConsultationInfo } from "../api/types";
import { birthYear } from "../patients/birth";
import { expectedAt, visitOf } from "./station";

const one = (id: string, state: string, patient: string, at: string, station: number | null = 1) =>
  ({
    id,
    state,
    patient: { id: patient },
    scheduled_at: at,
    created_at: at,
    station: station === null ? null : { id: station },
  }) as ConsultationInfo;

const LIST = [
  one("later", "scheduled", "p1", "2026-05-05T12:00:00Z"),
  one("sooner", "scheduled", "p2", "2026-05-05T11:00:00Z"),
  one("waits", "waiting", "p1", "2026-05-05T10:00:00Z"),
  one("live", "live", "p3", "2026-05-05T09:00:00Z"),
  one("elsewhere", "waiting", "p4", "2026-05-05T09:00:00Z", 2),
  one("home", "waiting", "p5", "2026-05-05T09:00:00Z", null),
  one("over", "ended", "p6", "2026-05-05T09:00:00Z"),
];

describe("the visits at a station", () => {
  it("are the open ones there, under way first, then waiting, then by time", () => {
    expect(expectedAt(LIST, 1).map((visit) => visit.id)).toEqual(["live", "waits", "sooner", "later"]);
  });

  it("give a connected patient the visit that waits before the one that is only planned", () => {
    expect(visitOf(expectedAt(LIST, 1), "p1")).toBe("waits");
    expect(visitOf(expectedAt(LIST, 1), "p2")).toBe("sooner");
    expect(visitOf(expectedAt(LIST, 1), "p9")).toBeNull();
  });
});

describe("a year of birth", () => {
  const now = Date.UTC(2026, 4, 5);
  it.each([
    ["1954", 1954],
    [" 1954 ", 1954],
    ["2026", 2026],
    ["2027", null],
    ["1889", null],
    ["54", null],
    ["1954.0", null],
    ["", null],
  ])("%j", (text, year) => {
    expect(birthYear(text, now)).toBe(year);
  });
});
