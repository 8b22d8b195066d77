import { describe, expect, it } from "vitest";
import { MISSING } from "../protocol/frame";
import { SampleRing } from "./ring";

const frame = (first: number, n: number, channels = 2) =>
  Int32Array.from({ length: channels * n }, (_, i) => Math.floor(i / n) * 1_000_000 + first + (i % n));

describe("the ring", () => {
  it("gives back every sample by its absolute index", () => {
    const ring = new SampleRing(2, 50);
    ring.write(1_000, 30, frame(1_000, 30));
    ring.write(1_030, 30, frame(1_030, 30));
    expect([ring.first, ring.end]).toEqual([1_010, 1_060]);
    for (let i = 1_010; i < 1_060; i++) expect([ring.at(0, i), ring.at(1, i)]).toEqual([i, 1_000_000 + i]);
    expect([ring.at(0, 1_009), ring.at(0, 1_060)]).toEqual([MISSING, MISSING]);
  });

  it("keeps the length of a hole", () => {
    const ring = new SampleRing(1, 100);
    ring.write(0, 10, frame(0, 10, 1));
    ring.write(25, 5, frame(25, 5, 1));
    expect(Array.from({ length: 30 }, (_, i) => ring.at(0, i) === MISSING).indexOf(true)).toBe(10);
    expect(Array.from({ length: 30 }, (_, i) => ring.at(0, i)).filter((value) => value === MISSING)).toHaveLength(15);
  });

  it("survives a hole and a frame longer than itself", () => {
    const ring = new SampleRing(1, 20);
    ring.write(0, 10, frame(0, 10, 1));
    ring.write(1_000_000, 30, frame(1_000_000, 30, 1));
    expect([ring.first, ring.end]).toEqual([1_000_010, 1_000_030]);
    expect(ring.at(0, 1_000_010)).toBe(1_000_010);
  });

  it("takes the same frame twice without harm", () => {
    const ring = new SampleRing(1, 20);
    ring.write(5, 10, frame(5, 10, 1));
    ring.write(5, 10, frame(5, 10, 1));
    expect([ring.first, ring.end, ring.at(0, 14)]).toEqual([5, 15, 14]);
  });
});
