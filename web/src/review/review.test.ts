import { describe, expect, it } from "vitest";
import { crc32 } from "../protocol/crc32";
import { gapRuns } from "../waves/columns";
import { readAnswer } from "./answer";
import { numbersAt, project } from "./project";
import { around, covers, placed, zoomed, zoomSeconds } from "./window";

const describeOf = (view: number) => ({ view, stream: view, kind: "ecg", channels: [{ name: "II" }], rate: [1000, 1] });

function frame(view: number, first: number, t0Us: number, samples: number[], codec = 0): Uint8Array {
  const bytes = new Uint8Array(56 + 2 * samples.length);
  const head = new DataView(bytes.buffer);
  head.setUint32(0, 0x31464d54, true);
  bytes.set([1, codec, 1, 1], 4);
  head.setUint32(12, codec === 1 ? samples.length / 2 : samples.length, true);
  head.setBigUint64(24, BigInt(first), true);
  head.setBigInt64(32, BigInt(t0Us), true);
  head.setUint32(40, 2 * samples.length, true);
  head.setUint16(52, view, true);
  samples.forEach((sample, i) => {
    head.setInt16(56 + 2 * i, sample, true);
  });
  head.setUint32(44, crc32(bytes), true);
  return bytes;
}

function answer(views: number[], frames: Uint8Array[]): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify({ describes: views.map(describeOf) }));
  const padded = (size: number) => Math.ceil(size / 8) * 8;
  const size = 8 + padded(text.length) + frames.reduce((sum, one) => sum + padded(one.length), 0);
  const bytes = new Uint8Array(size).fill(0);
  bytes.fill(0x20, 8, 8 + padded(text.length));
  new DataView(bytes.buffer).setUint32(0, padded(text.length), true);
  bytes.set(text, 8);
  let offset = 8 + padded(text.length);
  for (const one of frames) {
    bytes.set(one, offset);
    offset += padded(one.length);
  }
  return bytes;
}

const row = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe("the answer of waves", () => {
  it("joins frames that follow each other, whatever their order, and ends runs at holes and epochs", () => {
    const bytes = answer(
      [1, 2],
      [
        frame(1, 105, 1_005_000, row(105, 3)),
        frame(1, 100, 1_000_000, row(100, 5)),
        frame(1, 120, 1_020_000, row(120, 2)),
        frame(2, 0, 1_030_000, row(0, 4)),
      ],
    );
    const runs = readAnswer(bytes, 1);
    expect(runs.map((run) => [run.describe.view, run.firstSample, run.n, run.t0Us])).toEqual([
      [1, 100, 8, 1_000_000],
      [1, 120, 2, 1_020_000],
      [2, 0, 4, 1_030_000],
    ]);
    expect(runs[0]?.kind === "samples" && [...(runs[0].channels[0] ?? [])]).toEqual(row(100, 8));
  });

  it("projects samples on pixels and leaves the hole a hole", () => {
    const bytes = answer([1], [frame(1, 0, 0, row(0, 1_000)), frame(1, 2_000, 2_000_000, row(0, 1_000))]);
    const { extents, samples } = project(readAnswer(bytes, 1), "II", { fromUs: 0, toUs: 3_000_000 }, 300);
    expect(gapRuns(extents, 0, 300)).toEqual([[100, 200]]);
    expect([extents.low[50], extents.high[50]]).toEqual([500, 510]);
    expect(samples).toMatchObject({ stream: 1, s0: 0, head: 2_999 });
  });

  it("projects columns, one to one and many to one", () => {
    const minima = [-5, -32_768, -1, 0];
    const maxima = [5, -32_768, 9, 2];
    const bytes = answer([1], [frame(1, 0, 0, [...minima, ...maxima], 1)]);
    const runs = readAnswer(bytes, 1_000);
    const same = project(runs, null, { fromUs: 0, toUs: 4_000 }, 4).extents;
    expect([...same.low]).toEqual([-5, Number.NaN, -1, 0]);
    const half = project(runs, null, { fromUs: 0, toUs: 4_000 }, 2).extents;
    expect([[...half.low], [...half.high]]).toEqual([
      [-5, -1],
      [5, 9],
    ]);
  });
});

describe("the window", () => {
  const whole = { fromUs: 100e6, toUs: 700e6 };

  it("stays inside the whole", () => {
    expect(placed(0, 10, whole)).toEqual({ fromUs: 100e6, toUs: 110e6 });
    expect(placed(1e12, 10, whole)).toEqual({ fromUs: 690e6, toUs: 700e6 });
    expect(placed(0, 1_000, whole)).toEqual({ fromUs: 100e6, toUs: 1_100e6 });
  });

  it("keeps its middle when zoomed", () => {
    expect(zoomed({ fromUs: 300e6, toUs: 310e6 }, 60, whole)).toEqual({ fromUs: 275e6, toUs: 335e6 });
  });

  it("fetches one window to each side", () => {
    const window = placed(300e6, 10, whole);
    const fetched = around(window, whole);
    expect(fetched).toEqual({ fromUs: 290e6, toUs: 320e6 });
    expect(covers(fetched, placed(309e6, 10, whole))).toBe(true);
    expect(covers(fetched, placed(311e6, 10, whole))).toBe(false);
  });

  it("is true paper where it says so", () => {
    expect(zoomSeconds({ kind: "paper", speedMmS: 25 }, 945, 3.78, whole)).toBeCloseTo(10, 9);
    expect(zoomSeconds({ kind: "all" }, 945, 3.78, whole)).toBe(600);
  });
});

describe("numbers at the cursor", () => {
  it("are the newest of each kind that were there", () => {
    const numbers = [
      { kind: "spo2", at_us: 1, value: "97" },
      { kind: "spo2", at_us: 5, value: "98" },
      { kind: "temperature", at_us: 3, value: "36.6" },
    ];
    expect([...numbersAt(numbers, 4).values()].map((one) => one.value)).toEqual(["97", "36.6"]);
  });
});
