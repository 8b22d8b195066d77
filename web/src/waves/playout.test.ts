import { describe, expect, it } from "vitest";
import { DEFAULT_BUFFER_MS, MAX_STRETCH, Playout } from "./playout";

/** Frames of 100 ms at 1 kHz that leave a device whose clock runs `speed` fast and travel `trip` ms. */
function play(seconds: number, trip: (i: number) => number, speed = 1): { playout: Playout; lateMs: number[] } {
  const playout = new Playout(1000);
  const lateMs: number[] = [];
  const arrivals = Array.from({ length: seconds * 10 }, (_, i) => ({
    end: (i + 1) * 100,
    at: ((i + 1) * 100) / speed + trip(i),
  }));
  arrivals.sort((a, b) => a.at - b.at);
  for (const { end, at } of arrivals) {
    playout.arrived(end, at);
    lateMs.push(at * speed - playout.position(at));
  }
  return { playout, lateMs };
}

describe("the play-out clock", () => {
  it("shows nothing before the first frame", () => {
    expect(new Playout(1000).position(5)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("plays the buffer behind the quickest trip", () => {
    const { lateMs } = play(20, () => 40);
    expect(lateMs.at(-1)).toBeCloseTo(DEFAULT_BUFFER_MS + 40, 6);
  });

  it("never shows a sample before it came, for jitter within the buffer", () => {
    const playout = new Playout(1000);
    for (let i = 0; i < 600; i++) {
      const at = (i + 1) * 100 + 20 + ((i * 37) % 180);
      playout.arrived((i + 1) * 100, at);
      expect(playout.position(at + 99)).toBeLessThanOrEqual((i + 1) * 100 + 100);
    }
  });

  it("absorbs drift without stretching more than half a percent", () => {
    const playout = new Playout(1000);
    let before = Number.NaN;
    for (let ms = 0; ms < 600_000; ms += 20) {
      if (ms % 100 === 0) playout.arrived(Math.round(ms * 1.0002), ms);
      const position = playout.position(ms);
      const moved = (position - before) / 20;
      if (ms > 1_000) expect(Math.abs(moved - 1)).toBeLessThanOrEqual(MAX_STRETCH + 1e-9);
      before = position;
    }
    expect(600_000 * 1.0002 - before).toBeLessThan(DEFAULT_BUFFER_MS + 30);
  });

  it("goes on at the same place after a hole in the line", () => {
    const playout = new Playout(1000);
    for (let i = 1; i <= 50; i++) playout.arrived(i * 100, i * 100);
    const before = 5_000 - playout.position(5_000);
    for (let i = 100; i <= 250; i++) {
      playout.arrived(i * 100, i * 100);
      playout.position(i * 100);
    }
    expect(25_000 - playout.position(25_000)).toBeCloseTo(before, 3);
  });
});
