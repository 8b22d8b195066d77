import { describe, expect, it } from "vitest";
import { nameOf } from "../api/review";
import type { ReviewAnswer, TrendAnswer } from "../api/types";
import { exportedOf, hasAny, megabytes, planOf, takes } from "./exporting";
import { offsetUs, roundStep, rowGrid, timeAxis, valueTicks } from "./ticks";
import { joined, markAt, nextPlace, panelsOf, pointsOf, tableOf, xOf, yOf } from "./trend";
import { shownWith, spansFor } from "./trends";

const HOUR_US = 3_600e6;
const SOFIA = "Europe/Sofia";
/** 2026-01-15 00:00 in Sofia, which is two hours ahead. */
const MIDNIGHT_US = Date.UTC(2026, 0, 14, 22) * 1000;

describe("a time axis", () => {
  it("has round times by the organisation's clocks", () => {
    const extent = { fromUs: MIDNIGHT_US - 5 * HOUR_US, toUs: MIDNIGHT_US + 19 * HOUR_US };
    const { stepS, ticks } = timeAxis(extent, 600, offsetUs(extent.fromUs, SOFIA));
    expect(stepS).toBe(21_600);
    expect(ticks.map((tick) => (tick.us - MIDNIGHT_US) / HOUR_US)).toEqual([0, 6, 12, 18]);
    expect(ticks.map((tick) => tick.midnight)).toEqual([true, false, false, false]);
    expect(ticks[0]?.share).toBeCloseTo(5 / 24, 9);
  });

  it("keeps its marks apart on any width", () => {
    for (const seconds of [1, 10, 47, 600, 3_600, 90_000, 604_800, 5e6]) {
      for (const width of [200, 390, 1_000]) {
        const { stepS } = timeAxis({ fromUs: 0, toUs: seconds * 1e6 }, width, 0);
        if (stepS < 604_800) expect((stepS / seconds) * width).toBeGreaterThanOrEqual(96);
      }
    }
  });

  it("knows summer from winter", () => {
    expect(offsetUs(Date.UTC(2026, 0, 15) * 1000, SOFIA) / HOUR_US).toBe(2);
    expect(offsetUs(Date.UTC(2026, 6, 15) * 1000, SOFIA) / HOUR_US).toBe(3);
    expect(offsetUs(Date.UTC(2026, 6, 15) * 1000 + 59_999_999, "UTC")).toBe(0);
  });
});

describe("the rows of a table", () => {
  it("begin at round times and cover the extent", () => {
    for (const minutes of [1, 15, 60, 360, 1_440, 10_000]) {
      const extent = { fromUs: MIDNIGHT_US + 77e6, toUs: MIDNIGHT_US + 77e6 + minutes * 60e6 };
      const { fromUs, stepUs, rows } = rowGrid(extent, 2 * HOUR_US);
      expect((fromUs + 2 * HOUR_US) % stepUs).toBe(0);
      expect(fromUs).toBeLessThanOrEqual(extent.fromUs);
      expect(fromUs + rows * stepUs).toBeGreaterThanOrEqual(extent.toUs);
      expect(rows).toBeLessThanOrEqual(98);
    }
  });

  it("are within one answer for a whole week", () => {
    const { fromUs, stepUs, rows } = rowGrid({ fromUs: 77e6, toUs: 77e6 + 168 * HOUR_US }, 0);
    expect([fromUs, rows * stepUs]).toEqual([77e6, 168 * HOUR_US]);
  });
});

describe("a value axis", () => {
  it("has round steps", () => {
    expect([roundStep(40, 4), roundStep(2, 4), roundStep(90, 4), roundStep(0.3, 4)]).toEqual([10, 0.5, 50, 0.1]);
    expect(valueTicks(35.5, 38, 5)).toEqual([35.5, 36, 36.5, 37, 37.5, 38]);
    expect(valueTicks(90, 100, 2)).toEqual([90, 95, 100]);
  });
});

type Series = TrendAnswer["series"][number];
function series(kind: string, cells: Record<number, string[]>, change: Partial<Series> = {}): Series {
  const column = Object.keys(cells).map(Number);
  const pick = (at: number) => column.map((one) => cells[one]?.at(at) ?? "");
  const sorted = (at: number) => column.map((one) => [...(cells[one] ?? [])].sort((a, b) => +a - +b).at(at) ?? "");
  return {
    kind,
    part: null,
    unit: "/min",
    source: "monitor",
    origin: "measured",
    column,
    least: sorted(0),
    greatest: sorted(-1),
    last: pick(-1),
    count: column.map((one) => cells[one]?.length ?? 0),
    ...change,
  };
}
const answer = (...all: Series[]): TrendAnswer => ({ from_us: 0, to_us: 100e6, columns: 100, series: all });

describe("the trend's panels", () => {
  const cuff = [
    series("blood_pressure", { 10: ["120"], 50: ["131", "128"] }),
    series("blood_pressure", { 10: ["80"], 50: ["84", "82"] }, { part: "diastolic" }),
    series("blood_pressure", { 10: ["93"] }, { part: "mean" }),
    series("blood_pressure", { 10: ["75"], 50: ["76", "77"] }, { part: "pulse" }),
  ];

  it("stand in one order, the oximeter's pulse beside the heart rate, extras aside", () => {
    const panels = panelsOf(
      answer(
        ...cuff,
        series("pulse_rate", { 1: ["70"] }),
        series("spo2", { 1: ["97"], 2: ["98"] }),
        series("spo2", { 1: ["1.2"] }, { part: "perfusion_index" }),
        series("heart_rate", { 1: ["71"] }),
      ),
    );
    expect(panels.map((panel) => [panel.kind, panel.lines.map((line) => line.kind)])).toEqual([
      ["heart_rate", ["heart_rate", "pulse_rate"]],
      ["spo2", ["spo2"]],
      ["blood_pressure", ["blood_pressure"]],
    ]);
    expect([pointsOf(panels), pointsOf([])]).toEqual([2, 0]);
  });

  it("make a pressure one bar from the diastolic to the systolic, with its mean", () => {
    const [panel] = panelsOf(answer(...cuff));
    expect(panel?.lines[0]?.marks).toMatchObject([
      { column: 10, least: 80, greatest: 120, last: 93, words: "120/80 (93)" },
      { column: 50, least: 82, greatest: 131, last: Number.NaN, words: "128–131/82–84" },
    ]);
    expect(panelsOf(answer(series("blood_pressure", { 3: ["118"] })))[0]?.lines[0]?.marks[0]?.words).toBe("118/--");
  });

  it("do not mix two devices", () => {
    const other = series("blood_pressure", { 10: ["150"] }, { source: "other" });
    const otherLow = series("blood_pressure", { 10: ["99"] }, { source: "other", part: "diastolic" });
    const [panel] = panelsOf(answer(...cuff, otherLow, other));
    expect(panel?.lines.map((line) => [line.source, line.marks[0]?.words])).toEqual([
      ["monitor", "120/80 (93)"],
      ["other", "150/99"],
    ]);
  });

  it("hold every reading, and at least so much that a quiet number looks quiet", () => {
    const ranges = [
      series("heart_rate", { 1: ["70"], 2: ["72"] }),
      series("heart_rate", { 1: ["20"], 2: ["350"] }),
      series("spo2", { 1: ["97"] }),
      series("spo2", { 1: ["61"], 5: ["100"] }),
      series("temperature", { 1: ["36.6"] }),
      series("blood_pressure", { 1: ["0"] }),
    ].map((one) => {
      const [panel] = panelsOf(answer(one));
      return [panel?.low, panel?.high, panel?.step];
    });
    expect(ranges).toEqual([
      [50, 100, 10],
      [0, 400, 100],
      [90, 100, 5],
      [60, 100, 10],
      [35.5, 38, 0.5],
      [0, 40, 20],
    ]);
  });

  it("lie where their values and columns are", () => {
    const [panel] = panelsOf(answer(series("spo2", { 0: ["95"] })));
    if (panel === undefined) throw new Error("no panel");
    expect([yOf(panel, panel.high, 80), yOf(panel, panel.low, 80)]).toEqual([0, 80]);
    expect([xOf(0, 100, 200), xOf(99, 100, 200)]).toEqual([1, 199]);
  });
});

describe("a line of the trend", () => {
  const [panel] = panelsOf(answer(series("heart_rate", { 1: ["70"], 2: ["71"], 3: ["70", "75", "72"], 9: ["80"] })));
  const marks = panel?.lines[0]?.marks ?? [];

  it("is broken where nothing was read", () => {
    expect(joined(marks, 1).map((run) => run.map((mark) => mark.column))).toEqual([[1, 2, 3], [9]]);
    expect(joined(marks, 6)).toHaveLength(1);
    expect(joined([], 1)).toEqual([]);
  });

  it("says what stood at the cursor while it holds", () => {
    expect([markAt(marks, 0, 5), markAt(marks, 6, 2)]).toEqual([null, null]);
    expect(markAt(marks, 5, 2)?.words).toBe("70–75");
    expect(markAt(marks, 99, 100)?.words).toBe("80");
  });

  it("leads the cursor from reading to reading", () => {
    const panels = panel === undefined ? [] : [panel];
    expect([nextPlace(panels, -1, 1), nextPlace(panels, 3, 1), nextPlace(panels, 9, 1)]).toEqual([1, 9, 9]);
    expect([nextPlace(panels, 100, -1), nextPlace(panels, 9, -2), nextPlace(panels, 2, -10)]).toEqual([9, 2, 1]);
    expect(nextPlace([], 5, 1)).toBeNull();
  });

  it("becomes a table of the columns in which anything was read", () => {
    const { lines, rows } = tableOf(
      panelsOf(answer(series("heart_rate", { 1: ["70"], 9: ["80"] }), series("temperature", { 9: ["36.6"] }))),
    );
    expect(lines.map((line) => line.kind)).toEqual(["heart_rate", "temperature"]);
    expect(rows.map((row) => [row.column, row.cells.map((cell) => cell?.words ?? null)])).toEqual([
      [1, ["70", null]],
      [9, ["80", "36.6"]],
    ]);
  });
});

describe("the stretch of the trend", () => {
  const whole = { fromUs: 0, toUs: 30 * HOUR_US };

  it("is offered as the stored time allows", () => {
    expect(spansFor(whole)).toEqual([900, 3_600, 21_600, 86_400, 108_000]);
    expect(spansFor({ fromUs: 0, toUs: 60e6 })).toEqual([60]);
    expect(spansFor({ fromUs: 0, toUs: 200 * HOUR_US }).at(-1)).toBe(168 * 3_600);
  });

  it("stays until the waves have left it", () => {
    const shown = { fromUs: 0, toUs: HOUR_US };
    expect(shownWith({ fromUs: 0, toUs: 10e6 }, shown, 3_600, whole)).toBe(shown);
    expect(shownWith({ fromUs: 3 * HOUR_US, toUs: 3 * HOUR_US + 10e6 }, shown, 3_600, whole)).toEqual({
      fromUs: 2.5 * HOUR_US + 5e6,
      toUs: 3.5 * HOUR_US + 5e6,
    });
    expect(shownWith({ fromUs: 0, toUs: 10e6 }, shown, 900, whole)).toEqual({ fromUs: 0, toUs: 900e6 });
  });
});

describe("an export", () => {
  const stream = (kind: string, origin: "measured" | "recording" | "simulated", hours: number) => ({
    stream: 1,
    kind,
    device: "d",
    origin,
    channels: ["I", "II"],
    rate: [500, 1] as [number, number],
    from_us: 0,
    to_us: hours * HOUR_US,
    segments: [{ stream: 1, from_us: 0, to_us: hours * HOUR_US, first_sample: 0, n: hours * 1_800_000 }],
  });
  const number = (at_us: number, origin: "measured" | "simulated") => ({ kind: "spo2", at_us, origin, source: "s" });
  const summary = (part: object): ReviewAnswer =>
    ({ streams: [], numerics: [], gaps: [], numerics_truncated: false, ...part }) as unknown as ReviewAnswer;

  it("is of what was measured, and says what is not", () => {
    const plan = planOf(
      summary({
        streams: [stream("ecg", "measured", 2), stream("pleth", "recording", 2), stream("ecg", "simulated", 0.5)],
        numerics: [number(1, "measured"), number(HOUR_US, "measured"), number(HOUR_US, "simulated")],
      }),
      { fromUs: HOUR_US, toUs: 3 * HOUR_US },
    );
    expect(plan.signals).toMatchObject([{ kind: "ecg", seconds: 3_600, values: 3_600_000 }]);
    expect(plan.numbers).toEqual([{ kind: "spo2", count: 1 }]);
    expect(plan.leftOut.map((one) => [one.kind, one.origin])).toEqual([
      ["pleth", "recording"],
      ["spo2", "simulated"],
    ]);
    expect([hasAny(plan), megabytes(plan, "edf")]).toEqual([true, 7.2]);
  });

  it("is none where nothing was measured", () => {
    const plan = planOf(summary({ streams: [stream("ecg", "recording", 1)] }), { fromUs: 0, toUs: HOUR_US });
    expect([hasAny(plan), plan.leftOut.length]).toEqual([false, 1]);
  });

  it("leaves numbers that the page does not know to the server", () => {
    const told = { numerics: [number(5, "simulated")], numerics_truncated: true };
    expect(hasAny(planOf(summary(told), { fromUs: 0, toUs: 5 }))).toBe(false);
    expect(hasAny(planOf(summary(told), { fromUs: 0, toUs: 7 }))).toBe(true);
  });

  it("takes the last reading along, unless that would be too long", () => {
    const whole = { fromUs: 0, toUs: HOUR_US };
    expect(exportedOf({ fromUs: 10.5, toUs: HOUR_US }, whole)).toEqual({ fromUs: 10, toUs: HOUR_US + 1 });
    expect(exportedOf({ fromUs: 0, toUs: HOUR_US - 10 }, whole)).toEqual({ fromUs: 0, toUs: HOUR_US - 10 });
    const day = { fromUs: 0, toUs: 24 * HOUR_US };
    expect(exportedOf(day, day)).toEqual(day);
  });

  it("has the server's bounds", () => {
    const day = planOf(summary({ streams: [stream("ecg", "measured", 48)] }), { fromUs: 0, toUs: 24 * HOUR_US });
    expect([takes(day, "edf"), takes(day, "wfdb"), takes(day, "csv")]).toEqual([true, true, false]);
    const more = planOf(summary({ streams: [stream("ecg", "measured", 48)] }), { fromUs: 0, toUs: 24 * HOUR_US + 1 });
    expect(takes(more, "edf")).toBe(false);
  });

  it("has the server's name for the file, and no path in it", () => {
    expect(nameOf('attachment; filename="telemed-20260115T100000Z-edf.zip"')).toBe("telemed-20260115T100000Z-edf.zip");
    expect([nameOf(null), nameOf("attachment"), nameOf('attachment; filename="../x"')]).toEqual([null, null, null]);
  });
});
