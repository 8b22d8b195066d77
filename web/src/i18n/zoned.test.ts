import { describe, expect, it } from "vitest";
import { dayField, daysLater, dayTyped, instantOf, timeTyped, zonedTime } from "./zoned";

describe("a zone's clocks", () => {
  it.each([
    ["2026-01-15", "09:30", "Europe/Sofia", "2026-01-15T07:30:00.000Z"],
    ["2026-07-15", "09:30", "Europe/Sofia", "2026-07-15T06:30:00.000Z"],
    ["2026-07-15", "00:00", "Europe/Sofia", "2026-07-14T21:00:00.000Z"],
    ["2026-12-31", "23:59", "America/New_York", "2027-01-01T04:59:00.000Z"],
    ["2026-06-01", "12:00", "Asia/Kathmandu", "2026-06-01T06:15:00.000Z"],
    // Clocks go forward at 03:00 on 29 March 2026 and back at 04:00 on 25 October: the earlier of two is meant.
    ["2026-03-29", "02:59", "Europe/Sofia", "2026-03-29T00:59:00.000Z"],
    ["2026-03-29", "04:00", "Europe/Sofia", "2026-03-29T01:00:00.000Z"],
    ["2026-10-25", "03:30", "Europe/Sofia", "2026-10-25T00:30:00.000Z"],
    ["2026-10-25", "04:00", "Europe/Sofia", "2026-10-25T02:00:00.000Z"],
  ])("show %s %s in %s at %s", (date, time, zone, utc) => {
    const at = instantOf({ date, time }, zone);
    expect(at === null ? null : new Date(at).toISOString()).toBe(utc);
    expect(zonedTime(Date.parse(utc), zone)).toEqual({ date, time });
  });

  it("never show the hour that spring leaves out, nor what is no date", () => {
    expect(instantOf({ date: "2026-03-29", time: "03:30" }, "Europe/Sofia")).toBeNull();
    expect(instantOf({ date: "2026-13-01", time: "03:30" }, "Europe/Sofia")).toBeNull();
  });

  it("come back to themselves at every half hour of a year", () => {
    for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 1_800_000) {
      const shown = zonedTime(at, "Europe/Sofia");
      const back = instantOf(shown, "Europe/Sofia");
      expect(back).not.toBeNull();
      if (back !== null) expect(zonedTime(back, "Europe/Sofia")).toEqual(shown);
    }
  });
});

describe("a day as typed", () => {
  it.each([
    ["22.11.2025", "2025-11-22"],
    ["22.11.2025 г.", "2025-11-22"],
    ["2.1.26", "2026-01-02"],
    ["22/11/2025", "2025-11-22"],
    ["2025-11-22", "2025-11-22"],
    ["3.12", "2026-12-03"],
    ["3.12.", "2026-12-03"],
    ["29.2.2027", null],
    ["31.04.2026", null],
    ["tomorrow", null],
    ["", null],
    ["1.1.0001", null],
  ])("%s", (text, date) => {
    expect(dayTyped(text, "2026-05-05")).toBe(date);
  });

  it("stands in the field again", () => {
    expect(dayField("2025-11-22")).toBe("22.11.2025");
    expect(daysLater("2026-12-31", 1)).toBe("2027-01-01");
  });
});

describe("a time as typed", () => {
  it.each([
    ["9:30", "09:30"],
    ["09.30", "09:30"],
    ["0930", "09:30"],
    ["930", "09:30"],
    ["9", "09:00"],
    ["9:30 ч.", "09:30"],
    ["23:59", "23:59"],
    ["24:00", null],
    ["9:60", null],
    ["half past nine", null],
    ["", null],
  ])("%s", (text, time) => {
    expect(timeTyped(text)).toBe(time);
  });
});
