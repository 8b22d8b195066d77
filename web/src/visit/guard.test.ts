import { describe, expect, it } from "vitest";
import { GUARD_MS, tapsWaitMs } from "./guard";
import { looksLikePhone } from "./phone";

describe("a tap on a page that changed by itself", () => {
  it.each(["call", "over", "removed", "elsewhere"] as const)("waits out what was under way: %s", (to) => {
    expect(tapsWaitMs({ to, atMs: 1_000 }, 1_000)).toBe(GUARD_MS);
    expect(tapsWaitMs({ to, atMs: 1_000 }, 1_300)).toBe(GUARD_MS - 300);
    expect(tapsWaitMs({ to, atMs: 1_000 }, 1_000 + GUARD_MS)).toBe(0);
    expect(tapsWaitMs({ to, atMs: 1_000 }, 90_000)).toBe(0);
  });

  it("acts at once on a page that somebody asked for, and on the first", () => {
    for (const to of ["invitation", "joining", "checking", "place", "waiting", "left"] as const)
      expect(tapsWaitMs({ to, atMs: 1_000 }, 1_000)).toBe(0);
    expect(tapsWaitMs(null, 1_000)).toBe(0);
  });

  it("never waits longer when the clock stepped back", () => {
    expect(tapsWaitMs({ to: "call", atMs: 1_000 }, 0)).toBe(GUARD_MS);
  });
});

describe("a telephone number", () => {
  it.each(["0888 123 456", "+359 (38) 606-000", "038/606000", "60600"])("may be %s", (text) => {
    expect(looksLikePhone(text)).toBe(true);
  });

  it.each(["не го помня", "123", "", "0888 123 456 вечер", "1".repeat(16)])("is not: %s", (text) => {
    expect(looksLikePhone(text)).toBe(false);
  });
});
