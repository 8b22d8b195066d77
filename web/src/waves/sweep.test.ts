import { describe, expect, it } from "vitest";
import { completeColumns, lastDrawn, sweepOf, sweepSeconds, sweepStart } from "./sweep";

describe("the sweep", () => {
  it("shows 250 mm, ten seconds, on 945 px at 25 mm/s", () => {
    expect(sweepSeconds(945, 94.5)).toBeCloseTo(10, 9);
    expect(sweepOf(945, 94.5, 1000)).toEqual({ pxPerSample: 0.0945, columns: 945, widthSamples: 10_000 });
  });

  it.each([700, 764, 945, 1_180, 1_920])("keeps views of different rates in step on %d px", (width) => {
    const seconds = [125, 250, 500, 1000].map((rate) => sweepOf(width, 94.5, rate).widthSamples / rate);
    expect(new Set(seconds).size).toBe(1);
  });

  it("never needs more pixels than there are", () => {
    for (let width = 40; width < 2_000; width += 7) {
      for (const speed of [47.25, 94.5, 189]) {
        const sweep = sweepOf(width, speed, 500);
        if (sweep.widthSamples * sweep.pxPerSample > width) continue; // narrower than one big square
        expect(sweep.columns).toBeLessThanOrEqual(width);
      }
    }
  });

  it("begins where the one before ended, also before the anchor", () => {
    const sweep = sweepOf(945, 94.5, 1000);
    expect(sweepStart(sweep, 500, 500)).toBe(500);
    expect(sweepStart(sweep, 500, 10_499)).toBe(500);
    expect(sweepStart(sweep, 500, 10_500)).toBe(10_500);
    expect(sweepStart(sweep, 500, 499)).toBe(-9_500);
  });

  it.each([125, 500, 1000])("counts only columns that later samples cannot change at %d Hz", (rate) => {
    const sweep = sweepOf(945, 94.5, rate);
    for (let end = 1; end <= sweep.widthSamples + 1; end++) {
      const columns = completeColumns(sweep, 0, end);
      expect(columns / sweep.pxPerSample).toBeLessThanOrEqual(end - 1 + 1e-3);
      const last = lastDrawn(sweep, 0, columns);
      expect(last).toBeLessThan(end);
      if (columns > 0) expect(Math.floor(last * sweep.pxPerSample + 1e-9)).toBeLessThan(columns);
      if (columns > 0) expect(Math.floor((last + 1) * sweep.pxPerSample + 1e-6)).toBeGreaterThanOrEqual(columns);
    }
    expect(completeColumns(sweep, 0, sweep.widthSamples + 1)).toBe(sweep.columns);
  });
});
