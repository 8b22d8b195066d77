import { describe, expect, it } from "vitest";
import { browserOf, insideApp, systemOf, unfit } from "./browser";
import { STEPS, stepsOf } from "./level";
import { allWorks, anyFails, anyTried, stepAfter, summaryOf } from "./outcomes";
import { type DeviceEvent, mayAsk, nextPermission, type Permission, type Remembered } from "./permission";
import { figuresOf, type LoopSample, verdictOf } from "./verdict";

const failed = (name: string, remark = "", remembered: Remembered = null): DeviceEvent => ({
  type: "failed",
  name,
  remark,
  remembered,
});

describe("a device's permission", () => {
  it.each<[Permission, DeviceEvent, Permission]>([
    ["not_asked", { type: "ask" }, "asking"],
    ["denied", { type: "ask" }, "asking"],
    ["asking", { type: "granted" }, "allowed"],
    ["asking", failed("NotAllowedError"), "denied"],
    ["asking", failed("NotAllowedError", "Permission denied", "prompt"), "denied"],
    ["asking", failed("NotAllowedError", "Permission dismissed", "prompt"), "not_asked"],
    ["asking", failed("NotAllowedError", "Permission denied by system", "prompt"), "blocked"],
    ["asking", failed("NotAllowedError", "", "granted"), "blocked"],
    ["asking", failed("NotFoundError"), "none"],
    ["asking", failed("OverconstrainedError"), "none"],
    ["asking", failed("NotReadableError"), "in_use"],
    ["asking", failed("AbortError"), "in_use"],
    ["asking", failed("TypeError"), "unavailable"],
    ["not_asked", failed(""), "unavailable"],
  ])("%s, %j: %s", (state, event, expected) => {
    expect(nextPermission(state, event)).toBe(expected);
  });

  it.each<[Permission, DeviceEvent, Permission]>([
    ["allowed", { type: "remembered", remembered: "denied" }, "denied"],
    ["asking", { type: "remembered", remembered: "denied" }, "denied"],
    ["denied", { type: "remembered", remembered: "prompt" }, "not_asked"],
    ["denied", { type: "remembered", remembered: "granted" }, "not_asked"],
    ["allowed", { type: "remembered", remembered: "prompt" }, "allowed"],
    ["none", { type: "remembered", remembered: "denied" }, "none"],
    ["allowed", { type: "ended", present: true, remembered: "denied" }, "denied"],
    ["allowed", { type: "ended", present: false, remembered: "granted" }, "none"],
    ["allowed", { type: "ended", present: true, remembered: "granted" }, "in_use"],
    ["none", { type: "present", present: true }, "not_asked"],
    ["none", { type: "present", present: false }, "none"],
    ["allowed", { type: "released" }, "not_asked"],
    ["denied", { type: "released" }, "denied"],
  ])("taken back, pulled out, plugged in: %s, %j: %s", (state, event, expected) => {
    expect(nextPermission(state, event)).toBe(expected);
  });

  it("is asked again only where that can help", () => {
    const states: Permission[] = [
      "not_asked",
      "asking",
      "allowed",
      "denied",
      "blocked",
      "in_use",
      "none",
      "unavailable",
    ];
    expect(states.filter(mayAsk)).toEqual(["not_asked", "denied", "blocked", "in_use", "none"]);
  });
});

/** A loop of `seconds` with so many packets and bits a second; the first and last tenth of the loss at the end. */
function loop(seconds: number, perSecond: number, lossShare: number, trip: number | null, kbitS = 500): LoopSample[] {
  return Array.from({ length: seconds + 1 }, (_, second) => ({
    atMs: 1_000 + second * 1_000,
    received: Math.round(second * perSecond * (1 - lossShare)),
    lost: Math.round(second * perSecond * lossShare),
    bytes: (second * kbitS * 1000) / 8,
    roundTripS: trip,
  }));
}

describe("the word for a line", () => {
  it.each([
    [0, 0.03, 500, "good"],
    [0.019, 0.199, 500, "good"],
    [0.021, 0.03, 500, "fair"],
    [0, 0.2, 500, "fair"],
    [0.05, 0.03, 500, "poor"],
    [0, 0.4, 500, "poor"],
    [0, null, 500, "good"],
    [0, 0.03, 79, "poor"],
  ] as const)("loss %d, %d s there and back, %d kbit/s is %s", (loss, trip, rate, word) => {
    expect(verdictOf(figuresOf(loop(20, 100, loss, trip, rate)), true)).toBe(word);
  });

  it("does not hold a drawn picture's few bits against the line", () => {
    expect(verdictOf(figuresOf(loop(20, 100, 0, 0.03, 20)), false)).toBe("good");
  });

  it("is none when nothing, or next to nothing, came back", () => {
    expect(verdictOf(figuresOf([]), true)).toBe("none");
    expect(verdictOf(figuresOf(loop(20, 1, 0, 0.03)), true)).toBe("none");
  });

  it("takes the pace of the second half", () => {
    const slowStart = loop(20, 100, 0, 0.03).map((sample, second) => ({
      ...sample,
      bytes: second <= 10 ? 0 : ((second - 10) * 400_000) / 8,
    }));
    expect(figuresOf(slowStart)?.kbitS).toBeCloseTo(400);
  });
});

describe("which browser", () => {
  const CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0";
  it.each([
    [`Mozilla/5.0 (Linux; Android 10; K) ${CHROME} Mobile Safari/537.36`, "chrome_android", "android"],
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROME} Safari/537.36`, "chrome_desktop", "windows"],
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROME} Safari/537.36 Edg/142.0.0.0`, "edge", "windows"],
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "firefox_desktop", "other"],
    ["Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "firefox_android", "android"],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
      "safari_ios",
      "ios",
    ],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/142.0 Mobile/15E148 Safari/604.1",
      "safari_ios",
      "ios",
    ],
    ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "safari_mac", "mac"],
    [
      `Mozilla/5.0 (Linux; Android 14; SM-A546B) ${CHROME} SamsungBrowser/28.0 Mobile Safari/537.36`,
      "samsung",
      "android",
    ],
    ["", "other", "other"],
  ] as const)("%s", (agent, browser, system) => {
    expect([browserOf(agent), systemOf(agent)]).toEqual([browser, system]);
  });

  it("knows an iPad by its fingers and a messenger by its name", () => {
    const ipad = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15";
    expect(browserOf(ipad, 5)).toBe("safari_ios");
    expect(insideApp("Mozilla/5.0 (Linux; Android 14; wv) Chrome/142 [FBAN/FB4A]")).toBe(true);
    expect(insideApp(ipad)).toBe(false);
  });

  it("is told why a call cannot be", () => {
    expect([unfit(false, true, true), unfit(true, false, true), unfit(true, true, true)]).toEqual([
      "insecure",
      "no_webrtc",
      null,
    ]);
  });
});

describe("the level of a microphone", () => {
  it("lights nothing in silence and everything in a shout", () => {
    expect(stepsOf(new Float32Array(2048))).toBe(0);
    expect(stepsOf(new Float32Array(2048).fill(0.9))).toBe(STEPS);
    expect(stepsOf(new Float32Array(0))).toBe(0);
  });
});

describe("the sum of a check", () => {
  it("names what matters most first", () => {
    expect(summaryOf({ camera: "fails", microphone: "fails", speaker: "works", line: "fails" })).toBe("check.sum_line");
    expect(summaryOf({ camera: "fails", microphone: "fails", speaker: "works" })).toBe("check.sum_microphone");
    expect(summaryOf({ camera: "skipped", microphone: "works", speaker: "works", line: "works" })).toBe(
      "check.sum_skipped",
    );
    expect(summaryOf({ camera: "works", microphone: "works", speaker: "works", line: "fair" })).toBe("check.sum_good");
    expect(summaryOf({ camera: "skipped" })).toBe("check.sum_nothing");
  });

  it("tells a check from one that was passed over", () => {
    expect([anyTried({}), anyTried({ camera: "skipped" }), anyTried({ camera: "fails" })]).toEqual([
      false,
      false,
      true,
    ]);
    expect([anyFails({ line: "fair" }), anyFails({ speaker: "fails" })]).toEqual([false, true]);
    expect(allWorks({ camera: "works", microphone: "works", speaker: "works" })).toBe(false);
  });

  it("goes on step by step, and back to the result from one that is tried again by itself", () => {
    expect([stepAfter(0, false), stepAfter(3, false), stepAfter(0, true)]).toEqual([1, 4, 4]);
  });
});
