import { describe, expect, it } from "vitest";
import { crc32 } from "../protocol/crc32";
import { gapRuns } from "../waves/columns";
import { readAnswer } from "./answer";
import { numbersAt, project } from "./project";
import { hasDiagnostic, isEasy, valuesIn, viewFor } from "./reach";
import {
  around,
  arrowSeconds,
  centred,
  covers,
  inside,
  neighbourZoom,
  parts,
  placed,
  type Zoom,
  zoomed,
  zoomKey,
  zoomSeconds,
  zoomsFor,
} from "./window";

const DAY_US = 86_400e6;

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
    expect(centred(400e6, 60, whole)).toEqual({ fromUs: 370e6, toUs: 430e6 });
    expect(inside(placed(0, 1_000, whole), whole)).toEqual(whole);
  });

  it("keeps its middle when zoomed", () => {
    expect(zoomed({ fromUs: 300e6, toUs: 310e6 }, 60, whole)).toEqual({ fromUs: 275e6, toUs: 335e6 });
  });

  it("fetches one window to each side, never more than one answer gives", () => {
    const window = placed(300e6, 10, whole);
    const fetched = around(window, whole);
    expect(fetched).toEqual({ fromUs: 290e6, toUs: 320e6 });
    expect(covers(fetched, placed(309e6, 10, whole))).toBe(true);
    expect(covers(fetched, placed(311e6, 10, whole))).toBe(false);
    const month = { fromUs: 0, toUs: 30 * DAY_US };
    for (const days of [3, 5, 7]) {
      const extent = around(placed(10 * DAY_US, days * 86_400, month), month);
      expect(extent.toUs - extent.fromUs).toBeLessThanOrEqual(7 * DAY_US);
      expect(covers(extent, placed(10 * DAY_US, days * 86_400, month))).toBe(true);
    }
  });

  it("is asked for in parts when it is longer than an answer", () => {
    expect(parts({ fromUs: 5, toUs: 7 * DAY_US })).toHaveLength(1);
    const three = parts({ fromUs: 0, toUs: 15 * DAY_US });
    expect(three.map(({ fromUs, toUs }) => [fromUs / DAY_US, toUs / DAY_US])).toEqual([
      [0, 5],
      [5, 10],
      [10, 15],
    ]);
  });

  it("is true paper where it says so", () => {
    expect(zoomSeconds({ kind: "paper", speedMmS: 25 }, 945, 3.78, whole)).toBeCloseTo(10, 9);
    expect(zoomSeconds({ kind: "all" }, 945, 3.78, whole)).toBe(600);
  });

  it("offers what the stored time allows", () => {
    expect(zoomsFor(whole).map(zoomKey)).toEqual(["50mm", "25mm", "12.5mm", "10s", "30s", "60s", "300s", "all"]);
    const day = zoomsFor({ fromUs: 0, toUs: 25 * 3_600e6 }).map(zoomKey);
    expect(day.slice(-4)).toEqual(["3600s", "21600s", "86400s", "all"]);
    expect(zoomsFor({ fromUs: 0, toUs: 8 * DAY_US }).map(zoomKey)).not.toContain("all");
  });

  it("zooms by a key to the next length of this width, whatever its kind", () => {
    const zooms = zoomsFor(whole);
    const seconds = (zoom: Zoom) => zoomSeconds(zoom, 1_030, 3.78, whole);
    const walk: string[] = [];
    for (let zoom: Zoom = { kind: "paper", speedMmS: 50 }; walk.length < 9; ) {
      walk.push(zoomKey(zoom));
      zoom = neighbourZoom(zooms, zoom, 1, seconds);
    }
    expect(walk).toEqual(["50mm", "10s", "25mm", "12.5mm", "30s", "60s", "300s", "all", "all"]);
    expect(zoomKey(neighbourZoom(zooms, { kind: "time", seconds: 10 }, -1, seconds))).toBe("50mm");
  });

  it("moves by a second where one can be seen", () => {
    expect([arrowSeconds(10), arrowSeconds(600)]).toEqual([1, 60]);
  });
});

describe("what a window may cost", () => {
  const hour = 3_600e6;
  const stream = (kind: string, rate: number, channels: number, hours: number) => ({
    stream: 1,
    kind,
    device: "d",
    origin: "measured" as const,
    channels: Array.from({ length: channels }, (_, i) => String(i)),
    rate: [rate, 1] as [number, number],
    from_us: 0,
    to_us: hours * hour,
    segments: [{ stream: 1, from_us: 0, to_us: hours * hour, first_sample: 0, n: hours * 3_600 * rate }],
  });
  const twelve = [stream("ecg", 1_000, 12, 24), stream("pleth", 100, 1, 24)];

  it("is counted from what is stored", () => {
    expect(valuesIn(twelve, "ecg", { fromUs: 23 * hour, toUs: 30 * hour })).toBe(43_200_000);
    expect(valuesIn(twelve, "pleth", { fromUs: 25 * hour, toUs: 30 * hour })).toBe(0);
  });

  it("is filtered up to an hour of twelve leads, and no band is asked of another signal", () => {
    const extent = (hours: number) => ({ fromUs: 0, toUs: hours * hour });
    expect(viewFor(twelve, "ecg", extent(1), "diagnostic")).toBe("diagnostic");
    expect(viewFor(twelve, "ecg", extent(1.01), "monitor")).toBe("raw");
    expect(viewFor(twelve, "pleth", extent(24), "diagnostic")).toBe("monitor");
    expect(viewFor(twelve, "pleth", extent(24), "raw")).toBe("raw");
    expect([isEasy(twelve, ["ecg"], extent(0.25)), isEasy(twelve, ["ecg"], extent(0.5))]).toEqual([true, false]);
  });

  it("knows where the diagnostic band is", () => {
    expect([hasDiagnostic(twelve), hasDiagnostic([stream("ecg", 250, 3, 1)]), hasDiagnostic([])]).toEqual([
      true,
      false,
      false,
    ]);
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
