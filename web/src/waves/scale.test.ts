import { describe, expect, it } from "vitest";
import { MISSING } from "../protocol/frame";
import { NOMINAL_PX_PER_MM, pxPerMillivolt, pxPerSample } from "./paper";
import { orderedLeads, planRows } from "./rows";
import { calibratedScale, fittedScale, isCalibrated, middleOf } from "./scale";

const paper = { speedMmS: 25, gainMmMv: 10, pxPerMm: NOMINAL_PX_PER_MM };
const channel = { name: "II", unit: "uV", gain: 1.25, offset: 0 };

describe("the calibrated scale", () => {
  it("draws y = baseline - mV * px a mV", () => {
    const scale = calibratedScale(channel, paper, 100);
    expect(scale.pxPerUnit).toBeCloseTo(37.8, 9);
    for (const sample of [0, 800, -800, 12_345]) {
      const millivolts = (sample * 1.25) / 1000;
      expect(scale.originY - sample * scale.pxPerSampleUnit).toBeCloseTo(scale.baselineY - millivolts * 37.8, 9);
    }
  });

  it("counts the channel's offset and another unit", () => {
    const scale = calibratedScale({ name: "I", unit: "mV", gain: 0.5, offset: -2 }, paper, 50, 1);
    expect(scale.baselineY).toBeCloseTo(50 + 37.8, 9);
    expect(scale.originY - 6 * scale.pxPerSampleUnit).toBeCloseTo(scale.baselineY - (6 * 0.5 - 2) * 37.8, 9);
  });

  it("is only for ECG in volts with a gain", () => {
    expect(isCalibrated("ecg", channel)).toBe(true);
    expect(isCalibrated("pleth", channel)).toBe(false);
    expect(isCalibrated("ecg", { ...channel, gain: null })).toBe(false);
    expect(isCalibrated("ecg", { ...channel, unit: "1" })).toBe(false);
  });

  it("keeps millimetres: speed and gain give pixels, a width gives none", () => {
    expect(pxPerSample(paper, 1000)).toBeCloseTo(0.0945, 9);
    expect(pxPerMillivolt({ ...paper, gainMmMv: 20 })).toBeCloseTo(75.6, 9);
  });
});

describe("the fitted scale", () => {
  it("keeps the trace inside its row and says nothing of nothing", () => {
    const samples = [5, 900, MISSING, 300];
    const scale = fittedScale((i) => samples[i] ?? MISSING, 0, 4, 30, 60);
    for (const sample of [5, 900]) {
      const y = (scale?.originY ?? 0) - sample * (scale?.pxPerSampleUnit ?? 0);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(60);
    }
    expect(fittedScale(() => MISSING, 0, 4, 30, 60)).toBeNull();
    expect(middleOf((i) => samples[i] ?? MISSING, 0, 4)).toBe(300);
  });
});

describe("the rows", () => {
  const leads = ["V6", "V1", "aVR", "II", "I", "X"];

  it("stand in standard order, unknown ones last", () => {
    expect(orderedLeads(leads)).toEqual(["I", "II", "aVR", "V1", "V6", "X"]);
  });

  it("fill the height without overlapping, their canvases reach beyond them", () => {
    const rows = planRows("examine", leads, ["pleth", "respiration"], 728, paper);
    expect(rows.map((row) => row.id)).toEqual(["I", "II", "aVR", "V1", "V6", "X", "rhythm", "pleth", "respiration"]);
    rows.slice(1).forEach((row, i) => {
      expect(row.top).toBe((rows[i]?.top ?? 0) + (rows[i]?.height ?? 0));
    });
    expect(rows[0]?.top).toBe(Math.floor(12 * NOMINAL_PX_PER_MM));
    expect(planRows("examine", leads, [], 300, paper)[0]?.top).toBe(24);
    expect(planRows("examine", [], ["pleth"], 300, paper)[0]?.top).toBe(0);
    const end = rows.at(-1);
    expect((end?.top ?? 0) + (end?.height ?? 0)).toBeLessThanOrEqual(728);
    for (const row of rows) {
      expect(row.top - row.canvasTop).toBe(row.streamKind === "ecg" ? Math.round(2.5 * 37.8) : 0);
    }
  });

  it("are all but the rhythm strip in review", () => {
    const rows = planRows("review", leads, ["pleth"], 728, paper);
    expect(rows.map((row) => row.id)).toEqual(["I", "II", "aVR", "V1", "V6", "X", "pleth"]);
  });

  it("are one rhythm strip in talk, II or else the first lead", () => {
    expect(planRows("talk", leads, ["pleth"], 140, paper).map((row) => row.channel)).toEqual(["II"]);
    expect(planRows("talk", ["V5"], [], 140, paper).map((row) => row.channel)).toEqual(["V5"]);
    expect(planRows("talk", [], [], 140, paper)).toEqual([]);
  });
});
