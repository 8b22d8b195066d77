import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TicketShown } from "../api/guests";
import type { VisitShown } from "../protocol/people";
import { addressOf, placeOf } from "../router";
import { ServerTime, spanOf } from "./countdown";
import { forgetJoined, joinedBefore, rememberJoined } from "./joined";
import { endOf, type StageFacts, stageOf } from "./stage";

const NOON = Date.parse("2026-11-23T12:00:00Z");

const ticket: TicketShown = {
  role: "patient",
  organisation: { name: "Demo hospital", phone: "038 606 000" },
  clinician: "Demo clinician",
  scheduled_at: "2026-11-23T13:00:00Z",
  minutes: 30,
  state: "scheduled",
  server_now: "2026-11-23T12:00:00Z",
  arrives_from: "2026-11-23T12:00:00Z",
  language: "bg",
};

const seat: VisitShown = {
  ...ticket,
  consultation: "37e582e6-7735-418c-a427-35dd45e7333f",
  seat: "f2d34b0c-8e4e-4c3c-9f7a-0d6a4c1f2b11",
  seat_state: "waiting",
  device: 1,
  state: "waiting",
  position: 0,
  vitals_shared: false,
  recording_since: null,
  phone_since: null,
  name: null,
  consent: false,
  place: null,
};

const facts: StageFacts = {
  ticket,
  visit: null,
  fault: null,
  joining: false,
  checking: false,
  placeSkipped: true,
  elsewhere: false,
  nowMs: NOON,
};
const joined = (change: Partial<VisitShown>, more: Partial<StageFacts> = {}) =>
  stageOf({ ...facts, visit: { ...seat, ...change }, ...more });

describe("the address of a visit", () => {
  it.each([
    ["#/join/abc-_XYZ", { page: "join", token: "abc-_XYZ" }],
    ["#/join/", { page: "join", token: "" }],
    ["#/join", { page: "join", token: "" }],
    ["#/join/a/b", { page: "join", token: "a/b" }],
    ["#/check", { page: "check" }],
  ] as const)("%s", (hash, place) => {
    expect(placeOf(hash)).toEqual(place);
    expect(placeOf(addressOf(place))).toEqual(place);
  });

  it("cuts a token that nobody made", () => {
    expect(placeOf(`#/join/${"x".repeat(5_000)}`)).toEqual({ page: "join", token: "x".repeat(200) });
  });
});

describe("the stage of a visit", () => {
  it("goes from the link to the seat", () => {
    expect(stageOf({ ...facts, ticket: null })).toBe("looking");
    expect(stageOf(facts)).toBe("invitation");
    expect(stageOf({ ...facts, checking: true })).toBe("checking");
    expect(stageOf({ ...facts, joining: true })).toBe("joining");
    expect(stageOf({ ...facts, fault: "ticket_expired" })).toBe("fault");
  });

  it.each([
    ["ended", "over"],
    ["signed", "over"],
    ["amended", "over"],
    ["cancelled", "cancelled"],
    ["no_show", "missed"],
  ] as const)("says of a %s visit that it is %s, before and after joining", (state, stage) => {
    expect(stageOf({ ...facts, ticket: { ...ticket, state } })).toBe(stage);
    expect(joined({ state })).toBe(stage);
    expect(joined({ state, seat_state: "left" })).toBe(stage);
    expect(endOf(state)).toBe(stage);
  });

  it("asks where one is once, and only whom an ambulance may have to find", () => {
    expect(joined({}, { placeSkipped: false })).toBe("place");
    expect(joined({ role: "interpreter" }, { placeSkipped: false })).toBe("waiting");
    expect(joined({ place: { address: "Demo street 1", phone: "" } }, { placeSkipped: false })).toBe("waiting");
  });

  it("waits until the door opens, by the server's clock", () => {
    const early = { state: "scheduled", arrives_from: "2026-11-23T12:00:01Z" } as const;
    expect(joined(early)).toBe("early");
    expect(joined(early, { nowMs: NOON + 1_000 })).toBe("waiting");
    expect(joined(early, { nowMs: null })).toBe("waiting");
  });

  it("lets the call begin whatever else is on the page", () => {
    const admitted = { seat_state: "admitted", state: "live" } as const;
    expect(joined(admitted, { placeSkipped: false })).toBe("call");
    expect(joined(admitted, { checking: true })).toBe("call");
    expect(joined({ ...admitted, state: "interrupted" })).toBe("call");
    expect(joined({ seat_state: "waiting", state: "live" })).toBe("waiting");
    expect(joined({ seat_state: "admitted", state: "waiting" })).toBe("waiting");
  });

  it("gives way to another page of the same person", () => {
    expect(joined({ seat_state: "admitted", state: "live" }, { elsewhere: true })).toBe("elsewhere");
  });

  it.each(["removed", "refused"] as const)("stays %s", (seat_state) => {
    expect(joined({ seat_state, state: "ended" })).toBe(seat_state);
    expect(joined({ seat_state }, { fault: "ticket_revoked" })).toBe(seat_state);
  });

  it("can be left", () => {
    expect(joined({ seat_state: "left", state: "live" })).toBe("left");
  });
});

describe("the server's clock", () => {
  it("is carried on by a clock that only counts, whatever the device believes", () => {
    let steady = 5_000;
    const time = new ServerTime(() => steady);
    expect(time.now()).toBeNull();
    time.learn("2026-11-23T12:00:00Z");
    steady += 61_000;
    expect(time.now()).toBe(NOON + 61_000);
  });

  it("believes the answer that was quickest on its way, and none that is no time", () => {
    let steady = 0;
    const time = new ServerTime(() => steady);
    time.learn("2026-11-23T12:00:00Z");
    steady = 3_000; // two of these seconds the answer was under way
    time.learn("2026-11-23T12:00:01Z");
    time.learn("soon");
    expect(time.now()).toBe(NOON + 3_000);
    time.forget();
    expect(time.known).toBe(false);
  });
});

describe("a countdown", () => {
  it.each([
    [0, { days: 0, hours: 0, minutes: 0, seconds: 0 }],
    [-5_000, { days: 0, hours: 0, minutes: 0, seconds: 0 }],
    [1, { days: 0, hours: 0, minutes: 0, seconds: 1 }],
    [59_999, { days: 0, hours: 0, minutes: 1, seconds: 0 }],
    [3_599_000, { days: 0, hours: 0, minutes: 59, seconds: 59 }],
    [90_061_000, { days: 1, hours: 1, minutes: 1, seconds: 1 }],
  ])("%d ms is %j", (ms, span) => {
    expect(spanOf(ms)).toEqual(span);
  });
});

describe("the links this browser joined with", () => {
  const store = new Map<string, string>();
  beforeEach(() => {
    store.clear();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => store.get(key) ?? null,
      setItem: (key: string, value: string) => store.set(key, value),
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  it("are remembered without the link itself, until one leaves", () => {
    expect(joinedBefore("token-1")).toBe(false);
    rememberJoined("token-1");
    expect(joinedBefore("token-1")).toBe(true);
    expect(joinedBefore("token-2")).toBe(false);
    expect([...store.values()].join()).not.toContain("token-1");
    forgetJoined("token-1");
    expect(joinedBefore("token-1")).toBe(false);
  });

  it("are never more than twenty", () => {
    for (let n = 0; n < 30; n++) rememberJoined(`token-${n}`);
    expect(joinedBefore("token-9")).toBe(false);
    expect(joinedBefore("token-10")).toBe(true);
    expect([...store.values()].join(" ").split(" ")).toHaveLength(20);
  });
});
