import { describe, expect, it } from "vitest";
import { LOOK_MS, STILL_LONGEST_MS, STILL_MS, Stillness } from "./stillness";

/** Look every LOOK_MS while nothing more comes than `carried`; when it was told, in ms since the silence began. */
function silence(still: Stillness, carried: number | null, fromMs: number, forMs: number): number[] {
  const told: number[] = [];
  for (let ms = 0; ms <= forMs; ms += LOOK_MS) if (still.look(carried, fromMs + ms)) told.push(ms);
  return told;
}

describe("stillness", () => {
  it("is told once in a silence", () => {
    const still = new Stillness();
    expect(silence(still, 200, 0, 60_000)).toEqual([STILL_MS]);
    expect(still.lasts(60_000)).toBe(true);
    expect(still.look(250, 60_500)).toBe(false);
    expect(still.lasts(60_500)).toBe(false);
  });

  it("waits longer each time while the line stays bad, and no longer once it was good", () => {
    const still = new Stillness();
    let nowMs = 0;
    const next = (carried: number) => {
      const told = silence(still, carried, nowMs, 15_000);
      nowMs += 15_500;
      return told;
    };
    expect([next(1), next(2), next(3), next(4), next(5)].flat()).toEqual([
      STILL_MS,
      2 * STILL_MS,
      4 * STILL_MS,
      STILL_LONGEST_MS,
      STILL_LONGEST_MS,
    ]);
    for (let carried = 6; carried < 100; carried++) {
      still.look(carried, nowMs);
      nowMs += LOOK_MS;
    }
    expect(next(100)).toEqual([STILL_MS]);
  });

  it("is none while no leg is connected, when one begins anew, nor when the machine was too busy to look", () => {
    const still = new Stillness();
    expect(silence(still, null, 0, 5_000)).toEqual([]);
    expect(still.lasts(5_000)).toBe(false);
    expect([still.look(10, 5_500), still.look(10, 6_500), still.look(0, 7_000)]).toEqual([false, false, false]);
    expect([still.look(0, 9_000), still.look(0, 11_000), still.look(0, 13_000)]).toEqual([false, false, false]);
  });
});
