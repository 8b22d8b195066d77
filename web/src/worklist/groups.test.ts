import { describe, expect, it } from "vitest";
import type { ConsultationInfo } from "../protocol/messages";
import { grouped } from "./groups";

const NOW = Date.parse("2025-11-22T10:00:00Z");
const one = (state: ConsultationInfo["state"], at: string) =>
  ({ id: `${state} ${at}`, state, waiting_at: at, live_at: at, ended_at: at, scheduled_at: at }) as ConsultationInfo;
const groups = (...list: ConsultationInfo[]) => grouped(list, NOW, "Europe/Sofia");

describe("the work list", () => {
  it("puts the longest waiting first and the newest ended first", () => {
    const early = "2025-11-22T08:00:00Z";
    const late = "2025-11-22T09:00:00Z";
    const found = groups(one("waiting", late), one("waiting", early), one("ended", early), one("signed", late));
    expect(found.waiting.map((row) => row.waiting_at)).toEqual([early, late]);
    expect(found.ended.map((row) => row.ended_at)).toEqual([late, early]);
  });

  it("shows neither cancelled ones nor those to which nobody came", () => {
    const found = groups(one("cancelled", "2025-11-22T08:00:00Z"), one("no_show", "2025-11-22T08:00:00Z"));
    expect(found).toEqual({ today: [], later: [], waiting: [], live: [], ended: [] });
  });

  it("has today's appointments by time, with those of before that nobody dealt with", () => {
    const found = groups(
      one("scheduled", "2025-11-22T21:59:00Z"),
      one("scheduled", "2025-11-22T11:00:00Z"),
      one("scheduled", "2025-11-20T11:00:00Z"),
      one("scheduled", "2025-11-22T22:00:00Z"), // midnight in Sofia: tomorrow
    );
    expect(found.today.map((row) => row.scheduled_at)).toEqual([
      "2025-11-20T11:00:00Z",
      "2025-11-22T11:00:00Z",
      "2025-11-22T21:59:00Z",
    ]);
    expect(found.later.map((row) => row.scheduled_at)).toEqual(["2025-11-22T22:00:00Z"]);
  });
});
