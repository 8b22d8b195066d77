import { describe, expect, it } from "vitest";
import { linkState } from "./live/linkstate";
import { troubleOf } from "./media/devices";
import type { ConsultationInfo } from "./protocol/messages";
import { addressOf, placeOf } from "./router";
import { grouped } from "./worklist/groups";

const ID = "37e582e6-7735-418c-a427-35dd45e7333f";

describe("addresses", () => {
  it.each([
    ["", { page: "worklist" }],
    ["#/", { page: "worklist" }],
    ["#/help", { page: "help" }],
    [`#/consultations/${ID}`, { page: "live", id: ID }],
    [`#/consultations/${ID}/review`, { page: "review", id: ID }],
    ["#/consultations/../../etc", { page: "unknown" }],
    [`#/consultations/${ID}/nowhere`, { page: "unknown" }],
    ["#/nowhere", { page: "unknown" }],
  ] as const)("%s names its page", (hash, place) => {
    expect(placeOf(hash)).toEqual(place);
    expect(placeOf(addressOf(place))).toEqual(place);
  });
});

describe("the state of the link", () => {
  const facts = {
    socket: "open",
    openedBefore: true,
    ended: false,
    stationOnline: true,
    silentMs: 200,
    lagMs: 350,
  } as const;
  it.each([
    [{}, "live"],
    [{ lagMs: 1_001 }, "delayed"],
    [{ silentMs: 3_001 }, "interrupted"],
    [{ silentMs: null }, "waiting"],
    [{ stationOnline: false }, "offline"],
    [{ socket: "lost" }, "recovering"],
    [{ socket: "connecting", openedBefore: false }, "connecting"],
    [{ ended: true, socket: "lost" }, "ended"],
  ] as const)("%j is %s", (change, expected) => {
    expect(linkState({ ...facts, ...change })).toBe(expected);
  });
});

describe("the work list", () => {
  const one = (state: ConsultationInfo["state"], at: string) =>
    ({ id: `${state} ${at}`, state, waiting_at: at, live_at: at, ended_at: at }) as ConsultationInfo;

  it("puts the longest waiting first and the newest ended first", () => {
    const early = "2025-11-22T08:00:00Z";
    const late = "2025-11-22T09:00:00Z";
    const groups = grouped([one("waiting", late), one("waiting", early), one("ended", early), one("signed", late)]);
    expect(groups.waiting.map((row) => row.waiting_at)).toEqual([early, late]);
    expect(groups.ended.map((row) => row.ended_at)).toEqual([late, early]);
    expect(grouped([one("cancelled", early), one("scheduled", early)])).toEqual({ waiting: [], live: [], ended: [] });
  });
});

describe("a missing camera", () => {
  it.each([
    ["NotAllowedError", "denied"],
    ["NotFoundError", "missing"],
    ["NotReadableError", "busy"],
    ["TypeError", "unavailable"],
  ])("%s is %s", (name, trouble) => {
    expect(troubleOf(name)).toBe(trouble);
  });
});
