import { describe, expect, it } from "vitest";
import type { ConsultationInfo } from "../api/types";
import { missingSides, standingOf, takesPart } from "../live/standing";
import type { Line, Person, Publication, Role, Source } from "../protocol/people";
import { adviceOf, countsOf, factsBetween, type LineCounts, networkOf } from "./line";
import { newLines, newsOfPeople } from "./news";
import { identityOf, largeTile, nextTile, wantedTiles } from "./tiles";

const published = (id: string, participant: string, source: Source = "camera", by: Role = "patient"): Publication => ({
  id,
  by,
  participant,
  source,
  kinds: ["audio", "video"],
});

describe("the tiles", () => {
  it("are one a participant and source, the newest, and never one's own", () => {
    const tiles = wantedTiles(
      [
        published("1", "station:1", "camera", "station"),
        published("2", "station:1", "exam", "station"),
        published("3", "me"),
        published("4", "guest"),
        published("5", "station:1", "camera", "station"),
        published("6", "guest"),
      ],
      "me",
    );
    expect(tiles.map((tile) => `${tile.participant} ${tile.source} ${tile.id}`)).toEqual([
      "station:1 camera 5",
      "station:1 exam 2",
      "guest camera 6",
    ]);
  });

  it("are played anew only when the publication or what it carries is another", () => {
    const one = published("1", "a");
    expect(identityOf(one)).toBe(identityOf({ ...one, kinds: ["video", "audio"] }));
    expect(identityOf(one)).not.toBe(identityOf({ ...one, kinds: ["audio"] }));
  });

  const seen = (key: string, role: Role, source: Source = "camera", kinds = ["audio", "video"]) => ({
    key,
    role,
    source,
    kinds,
  });
  const all = [
    seen("i", "interpreter"),
    seen("c", "clinician"),
    seen("s", "station"),
    seen("e", "station", "exam", ["video"]),
  ];

  it("have the other side large unless one was chosen or somebody shares a screen", () => {
    expect(largeTile(all, null, true)?.key).toBe("s");
    expect(largeTile(all, null, false)?.key).toBe("c");
    expect(largeTile(all, "e", true)?.key).toBe("e");
    expect(largeTile(all, "gone", true)?.key).toBe("s");
    expect(largeTile([...all, seen("x", "clinician", "screen", ["video"])], null, false)?.key).toBe("x");
    expect(largeTile([seen("v", "patient", "camera", ["audio"])], null, true)?.key).toBe("v");
    expect(largeTile([], null, true)).toBeNull();
  });

  it("take turns at being large", () => {
    const order = ["i", "c", "s", "e", "i"];
    let large = all[0] ?? null;
    for (const expected of order.slice(1)) {
      large = nextTile(all, large);
      expect(large?.key).toBe(expected);
    }
    expect(nextTile([], null)).toBeNull();
    expect(nextTile(all, null)?.key).toBe("i");
  });
});

describe("the line", () => {
  it.each([
    [0, 20, "good"],
    [0.019, 199, "good"],
    [0.02, 100, "fair"],
    [0, 200, "fair"],
    [0.049, 399, "fair"],
    [0.05, 100, "poor"],
    [0, 400, "poor"],
    [null, null, "unknown"],
    [null, 100, "good"],
    [0.2, null, "poor"],
  ] as const)("with loss %s and %s ms is %s", (loss, rttMs, expected) => {
    expect(networkOf({ loss, rttMs })).toBe(expected);
  });

  it("comes with an advice only when there is something to do", () => {
    expect([adviceOf("good", true), adviceOf("unknown", true)]).toEqual([null, null]);
    expect(adviceOf("poor", true)).not.toBe(adviceOf("poor", false));
  });

  const counts = (change: Partial<LineCounts>): LineCounts => ({
    received: 0,
    lost: 0,
    bytesDown: 0,
    bytesUp: 0,
    sentLoss: null,
    rttMs: null,
    ...change,
  });

  it("is measured between two counts, by the worse way", () => {
    const facts = factsBetween(
      counts({ received: 1_000, lost: 10, bytesDown: 0 }),
      counts({ received: 1_950, lost: 60, bytesDown: 625_000, bytesUp: 62_500, sentLoss: 0.01, rttMs: 80.4 }),
      5_000,
    );
    expect(facts).toEqual({ loss: 0.05, rttMs: 80, downKbitS: 1_000, upKbitS: 100 });
    expect(factsBetween(counts({}), counts({ received: 990, lost: 10, sentLoss: 0.3 }), 5_000).loss).toBe(0.3);
  });

  it("says nothing of loss when a leg was made anew, or hardly anything came", () => {
    expect(factsBetween(counts({ received: 5_000, lost: 4 }), counts({ received: 3 }), 5_000).loss).toBeNull();
    expect(factsBetween(counts({}), counts({ received: 3, lost: 3 }), 5_000).loss).toBeNull();
  });

  it("adds up all legs and passes over what is not a number", () => {
    const report = [
      { type: "inbound-rtp", packetsReceived: 100, packetsLost: -1, bytesReceived: 1_000 },
      { type: "outbound-rtp", bytesSent: 500 },
      { type: "remote-inbound-rtp", fractionLost: 0.25 },
      { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.05 },
      { type: "candidate-pair", nominated: false, currentRoundTripTime: 9 },
      { type: "inbound-rtp" },
    ];
    expect(countsOf([report, report])).toEqual({
      received: 200,
      lost: 0,
      bytesDown: 2_000,
      bytesUp: 1_000,
      sentLoss: 0.25,
      rttMs: 50,
    });
  });
});

const person = (id: string, change: Partial<Person> = {}): Person => ({
  id,
  kind: "guest",
  role: "patient",
  name: null,
  seat: "admitted",
  device: 1,
  here: true,
  camera: false,
  microphone: false,
  screen: false,
  network: "unknown",
  ...change,
});

describe("news of people", () => {
  const told = (before: Person[], after: Person[]) =>
    newsOfPeople(before, after, "me").map((one) => (one.what === "said" ? "" : `${one.what} ${one.person.id}`));

  it("are comings, goings and those at the door, never oneself", () => {
    expect(told([person("me")], [person("me"), person("a"), person("b", { seat: "waiting" })])).toEqual([
      "came a",
      "door b",
    ]);
    expect(told([person("b", { seat: "waiting" })], [person("b")])).toEqual(["came b"]);
    expect(told([person("a"), person("b")], [person("a", { here: false })])).toEqual(["left a", "left b"]);
    expect(told([person("a")], [person("a", { camera: true, network: "poor" })])).toEqual([]);
    expect(told([], [person("a", { here: false }), person("me")])).toEqual([]);
  });

  it("are lines of others that were not read", () => {
    const said = (n: number, id: string) => ({ n, by: { id } }) as Line;
    expect(newLines([said(1, "a"), said(2, "me"), said(3, "a")], 1, "me").map((one) => one.n)).toEqual([3]);
  });
});

describe("who somebody is in a consultation", () => {
  const info = (clinician: string | null, seconds: string[] = []) =>
    ({
      clinician: clinician === null ? null : { id: clinician, name: "" },
      second_clinicians: seconds.map((id) => ({ id, name: "" })),
    }) as unknown as ConsultationInfo;

  it.each([
    ["me", [], "clinician", true],
    [null, [], "free", false],
    ["other", ["me"], "second", true],
    ["other", [], "other", false],
  ] as const)("assigned %s, seconds %j: %s", (clinician, seconds, standing, part) => {
    expect(standingOf(info(clinician, [...seconds]), "me")).toBe(standing);
    expect(takesPart(info(clinician, [...seconds]), "me")).toBe(part);
  });

  it("and whose line is missing", () => {
    const clinician = person("c", { kind: "account", role: "clinician", seat: null });
    const station = person("station:1", { kind: "station", role: "station", seat: null });
    expect(missingSides([clinician, station])).toEqual([]);
    expect(missingSides([clinician, { ...station, here: false }])).toEqual(["patient"]);
    expect(missingSides([person("p", { seat: "waiting" }), clinician])).toEqual(["patient"]);
    expect(missingSides([person("p")])).toEqual(["clinician"]);
  });
});
