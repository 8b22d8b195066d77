import { describe, expect, it } from "vitest";
import { linkState } from "./live/linkstate";
import { troubleOf } from "./media/devices";
import { addressOf, placeOf } from "./router";

const ID = "37e582e6-7735-418c-a427-35dd45e7333f";

describe("addresses", () => {
  it.each([
    ["", { page: "worklist" }],
    ["#/", { page: "worklist" }],
    ["#/help", { page: "help" }],
    [`#/consultations/${ID}`, { page: "live", id: ID }],
    [`#/consultations/${ID}/review`, { page: "review", id: ID }],
    [`#/consultations/${ID}/desk`, { page: "desk", id: ID }],
    ["#/stations/3", { page: "station", id: 3 }],
    ["#/stations/0", { page: "unknown" }],
    ["#/stations/x", { page: "unknown" }],
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
