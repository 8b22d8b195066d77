import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { onWake, SLEPT_MS } from "./wake";

describe("waking up", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  let told: boolean[] = [];
  let end: () => void = () => undefined;

  beforeEach(() => {
    vi.useFakeTimers();
    const events = new EventTarget();
    vi.stubGlobal("document", page);
    vi.stubGlobal("addEventListener", events.addEventListener.bind(events));
    vi.stubGlobal("removeEventListener", events.removeEventListener.bind(events));
    vi.stubGlobal("dispatchEvent", events.dispatchEvent.bind(events));
    page.visibilityState = "visible";
    told = [];
    end = onWake((gone) => told.push(gone));
  });

  afterEach(() => {
    end();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("tells of a page that stood still longer than its connections live", () => {
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual([]);
    vi.setSystemTime(Date.now() + SLEPT_MS + 1_000);
    vi.advanceTimersByTime(1_000);
    expect(told).toEqual([true]);
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual([true]);
  });

  it("takes the slow timers of a hidden page for no sleep", () => {
    page.visibilityState = "hidden";
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(1_000);
    expect(told).toEqual([]);
  });

  it("tells of a network that is back and of a page that is seen again, until it is ended", () => {
    dispatchEvent(new Event("online"));
    page.dispatchEvent(new Event("visibilitychange"));
    expect(told).toEqual([true, false]);
    end();
    dispatchEvent(new Event("online"));
    vi.setSystemTime(Date.now() + 60_000);
    vi.advanceTimersByTime(1_000);
    expect(told).toEqual([true, false]);
  });
});
