import { describe, expect, it } from "vitest";
import type { StationStatus } from "../protocol/messages";
import { stationFacts } from "./stationwords";

const QUEUE = { chunks: 0, bytes: 0, oldest_s: null, state: "ok", hours_left: 48, unreadable: 0 } as const;

const keys = (status: StationStatus | null) => stationFacts(status).map((one) => one.key);

describe("what is said of a station", () => {
  it("is nothing while all is well, or nothing is known", () => {
    expect(keys(null)).toEqual([]);
    expect(keys({})).toEqual([]);
    expect(keys({ queue: QUEUE, clock: null, state: "recording" })).toEqual([]);
    expect(keys({ queue: { chunks: 3, bytes: 9000 } })).toEqual([]); // a program of before
    expect(keys({ queue: { ...QUEUE, chunks: 9, bytes: 9000, oldest_s: 0.8 } })).toEqual([]);
  });

  it("is what waits, with the age of the oldest in the unit that fits", () => {
    const waits = (oldest_s: number) => stationFacts({ queue: { ...QUEUE, chunks: 9, bytes: 2_500_000, oldest_s } })[0];
    expect(waits(10)).toEqual({ key: "station.waits_s", params: { megabytes: 2.5, seconds: 10 }, warning: false });
    expect(waits(600)?.params).toEqual({ megabytes: 2.5, minutes: 10 });
    expect(waits(86_400)).toMatchObject({ key: "station.waits_h", params: { hours: 24 } });
  });

  it("is the room that is left, then that nothing is recorded", () => {
    expect(stationFacts({ queue: { ...QUEUE, state: "nearly_full", hours_left: 3.2 } })).toEqual([
      { key: "station.nearly_full", params: { hours: 3.2 }, warning: true },
    ]);
    expect(keys({ queue: { ...QUEUE, state: "full" }, state: "spool_full" })).toEqual(["station.full"]);
    expect(keys({ queue: { chunks: 1, bytes: 1 }, state: "spool_full" })).toEqual(["station.full"]);
  });

  it("is a clock that is off by more than two seconds, and which way", () => {
    const off = (seconds: number) => keys({ queue: QUEUE, clock: { offset_us: seconds * 1e6, error_us: 900 } });
    expect(off(2)).toEqual([]);
    expect(off(-2.1)).toEqual(["station.clock_ahead_s"]);
    expect(off(86_400)).toEqual(["station.clock_behind_h"]);
  });

  it("is that a key was lost", () => {
    expect(keys({ queue: { ...QUEUE, unreadable: 1 } })).toEqual(["station.unreadable"]);
  });
});
