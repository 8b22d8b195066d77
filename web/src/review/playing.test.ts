import { describe, expect, it } from "vitest";
import type { Recording } from "../api/types";
import { chosenFor, following, offMs, placeOf, timeAt } from "./playing";

const recording = (change: Partial<Recording> = {}): Recording => ({
  id: "1",
  participant: "station:1",
  by: "station",
  source: "camera",
  began_us: 1_000_000_000,
  length_ms: 60_000,
  bytes: 1,
  error_us: 1_200,
  aligned: true,
  picture: true,
  sound: true,
  picture_left_out: false,
  ended_at: "2026-01-01T00:00:00Z",
  ended_why: "left",
  ...change,
});

describe("a recording beside the waves", () => {
  it("has a consultation time for every place, and back", () => {
    const one = recording();
    expect(timeAt(one, 2.5)).toBe(1_002_500_000);
    expect(placeOf(one, timeAt(one, 59.25))).toBe(59.25);
    expect(placeOf(one, one.began_us - 1)).toBeNull();
    expect(placeOf(one, one.began_us + 60_000_001)).toBeNull();
  });

  it("turns the page when the picture has left it, and not before", () => {
    const whole = { fromUs: 0, toUs: 600e6 };
    const window = { fromUs: 100e6, toUs: 110e6 };
    expect(following(window, 109.9e6, whole)).toBe(window);
    expect(following(window, 110e6, whole)).toEqual({ fromUs: 109e6, toUs: 119e6 });
    expect(following(window, 40e6, whole)).toEqual({ fromUs: 39e6, toUs: 49e6 });
    expect(following(window, 700e6, whole)).toEqual({ fromUs: 590e6, toUs: 600e6 });
  });

  it("begins with one that can be played and shows the waves", () => {
    const early = recording({ id: "early" });
    const late = recording({ id: "late", began_us: 2_000_000_000 });
    const running = recording({ id: "running", began_us: 3_000_000_000, ended_at: null });
    expect(chosenFor([early, late, running], 2_001_000_000)?.id).toBe("late");
    expect(chosenFor([early, late, running], 3_001_000_000)?.id).toBe("early");
    expect(chosenFor([running], 0)?.id).toBe("running");
    expect(chosenFor([], 0)).toBeNull();
  });

  it("says how far it may be off, or that nobody knows", () => {
    expect(offMs(recording())).toBe(2);
    expect(offMs(recording({ error_us: 0 }))).toBe(1);
    expect(offMs(recording({ aligned: false }))).toBeNull();
    expect(offMs(recording({ error_us: null, aligned: false }))).toBeNull();
  });
});
