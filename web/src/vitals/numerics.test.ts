import { describe, expect, it } from "vitest";
import type { Numeric } from "../protocol/messages";
import { ageMs, freshness, nextReading, periodMs, type Reading, valueText } from "./numerics";

const numeric = (kind: string, atMs: number, more: Partial<Numeric> = {}): Numeric => ({
  kind,
  value: "72",
  unit: "/min",
  at_us: atMs * 1000,
  source: "device",
  origin: "measured",
  derived: false,
  quality: [],
  extra: {},
  ...more,
});

function every(kind: string, periodOf: number, count: number): Reading {
  let reading: Reading | undefined;
  for (let i = 0; i < count; i++) reading = nextReading(reading, numeric(kind, i * periodOf));
  if (reading === undefined) throw new Error("count is 0");
  return reading;
}

describe("the age of a number", () => {
  it("turns a continuous one grey after twice its period and away after ten seconds", () => {
    const reading = every("spo2", 1_500, 6);
    const at = reading.numeric.at_us / 1000;
    expect(periodMs(reading)).toBe(1_500);
    expect(freshness(reading, (at + 2_900) * 1000)).toBe("fresh");
    expect(freshness(reading, (at + 3_100) * 1000)).toBe("stale");
    expect(freshness(reading, (at + 10_100) * 1000)).toBe("gone");
  });

  it("keeps a single measurement and lets it grow old", () => {
    const reading = every("blood_pressure", 60_000, 1);
    expect(freshness(reading, 600_000_000)).toBe("fresh");
    expect(freshness(reading, 16 * 60_000_000)).toBe("stale");
  });

  it("is never negative", () => {
    expect(ageMs(every("spo2", 1_000, 2), 0)).toBe(0);
  });

  it("begins anew with another source", () => {
    const reading = nextReading(every("spo2", 1_000, 5), numeric("spo2", 9_000, { source: "another" }));
    expect(reading.intervalsMs).toEqual([]);
  });
});

describe("the digits", () => {
  it("are the device's, with the language's decimal mark", () => {
    expect(valueText(numeric("temperature", 0, { value: "36.60" }), "bg")).toBe("36,60");
    expect(valueText(numeric("temperature", 0, { value: "36.60" }), "en")).toBe("36.60");
    expect(valueText(numeric("spo2", 0, { value: null }), "bg")).toBeNull();
  });

  it("show both pressures, and that one is missing", () => {
    const both = numeric("blood_pressure", 0, { value: "121", extra: { diastolic: "79", mean: "93" } });
    expect(valueText(both, "bg")).toBe("121/79");
    expect(valueText(numeric("blood_pressure", 0, { value: "121" }), "bg")).toBe("121/--");
  });
});
