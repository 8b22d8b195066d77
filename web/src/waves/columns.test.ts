import { describe, expect, it } from "vitest";
import { MISSING } from "../protocol/frame";
import { columnExtents, emptyExtents, gapRuns } from "./columns";

const RATE = 1000;
const PX = 94.5 / RATE;

function noisy(length: number): Int32Array {
  let seed = 1;
  return Int32Array.from({ length }, (_, i) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return Math.round(400 * Math.sin(i / 40) + (seed % 200));
  });
}

describe("column extents", () => {
  it.each([12.5, 25, 50].flatMap((speed) => [125, 250, 500, 1000].map((rate) => [speed, rate] as const)))(
    "hold every sample in its column at %d mm/s and %d Hz",
    (speed, rate) => {
      const pxPerSample = (speed * 3.78) / rate;
      const samples = noisy(2_000);
      const columns = Math.floor((samples.length - 1) * pxPerSample);
      const extents = emptyExtents(columns);
      columnExtents((i) => samples[i] ?? MISSING, 0, samples.length, pxPerSample, 0, columns, extents);
      for (let i = 0; Math.floor(i * pxPerSample) < columns; i++) {
        const column = Math.floor(i * pxPerSample + 1e-9);
        if (column >= columns) break;
        expect(extents.low[column]).toBeLessThanOrEqual(samples[i] as number);
        expect(extents.high[column]).toBeGreaterThanOrEqual(samples[i] as number);
      }
    },
  );

  it("join: neighbouring columns share the value at their edge", () => {
    const samples = noisy(1_000);
    const extents = emptyExtents(90);
    columnExtents((i) => samples[i] ?? MISSING, 0, samples.length, PX, 0, 90, extents);
    for (let c = 1; c < 90; c++) {
      expect(extents.low[c] as number).toBeLessThanOrEqual((extents.high[c - 1] as number) + 1e-9);
      expect(extents.high[c] as number).toBeGreaterThanOrEqual((extents.low[c - 1] as number) - 1e-9);
    }
  });

  it("are the same in pieces as at once", () => {
    const samples = noisy(1_000);
    const at = (i: number) => samples[i] ?? MISSING;
    const once = emptyExtents(90);
    columnExtents(at, 0, 1_000, PX, 0, 90, once);
    const pieces = emptyExtents(90);
    for (const [from, to] of [
      [0, 1],
      [1, 40],
      [40, 41],
      [41, 90],
    ] as const) {
      columnExtents(at, 0, 1_000, PX, from, to, pieces);
    }
    expect(pieces).toEqual(once);
  });

  it("never bridge a gap, and name its columns", () => {
    const samples = noisy(1_000);
    samples.fill(MISSING, 300, 600);
    const extents = emptyExtents(90);
    columnExtents((i) => samples[i] ?? MISSING, 0, 1_000, PX, 0, 90, extents);
    expect(gapRuns(extents, 0, 90)).toEqual([[29, 56]]);
  });

  it("have a gap at the end when it goes on to the edge", () => {
    const extents = emptyExtents(4);
    columnExtents((i) => (i < 20 ? 5 : MISSING), 0, 20, PX, 0, 4, extents);
    expect(gapRuns(extents, 0, 4)).toEqual([[2, 4]]);
  });
});
