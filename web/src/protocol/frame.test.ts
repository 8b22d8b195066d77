import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeFrame, FrameError, MISSING, sampleIndex } from "./frame";

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly error?: string;
  readonly expect?: {
    readonly stream: number;
    readonly seq: string;
    readonly first_sample: string;
    readonly t0_us: string;
    readonly codec: number;
    readonly dtype: "int16" | "int32";
    readonly channels: number;
    readonly n: number;
    readonly gap: boolean;
    readonly provisional: boolean;
    readonly lead_off: readonly number[];
    readonly view: number;
    readonly samples: readonly (readonly number[] | readonly (readonly number[])[])[];
  };
}

const file = new URL("../../../tests/vectors/frames.json", import.meta.url);
const vectors = (JSON.parse(readFileSync(file, "utf8")) as { frames: Vector[] }).frames;
const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const whole = vectors.filter((vector) => vector.expect !== undefined);

describe("the native frame, by the vectors that Python reads too", () => {
  it.each(whole)("decodes: $name", ({ hex, expect: want }) => {
    if (want === undefined) return;
    const frame = decodeFrame(bytesOf(hex));
    expect(frame.codec).toBe(want.codec === 0 ? "raw" : "minmax");
    expect(frame.stream).toBe(want.stream);
    expect(frame.seq).toBe(BigInt(want.seq));
    expect(frame.firstSample).toBe(BigInt(want.first_sample));
    expect(frame.t0Us).toBe(Number(want.t0_us));
    expect([frame.channels, frame.n, frame.view]).toEqual([want.channels, want.n, want.view]);
    expect([frame.gapBefore, frame.provisional]).toEqual([want.gap, want.provisional]);
    expect(frame.electrodesOff).toBe(want.lead_off.reduce((bits, channel) => bits | (1 << channel), 0));
    const missing = want.dtype === "int16" ? -32_768 : MISSING;
    const flat = want.samples.flat(2).map((value) => (value === missing ? MISSING : value));
    expect([...frame.samples]).toEqual(flat);
  });

  it.each(vectors.filter((vector) => vector.error !== undefined))("refuses: $name", ({ hex, error }) => {
    expect(() => decodeFrame(bytesOf(hex))).toThrow(new FrameError(error as never));
  });

  it.each(whole)("refuses every truncation of: $name", ({ hex }) => {
    const bytes = bytesOf(hex);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeFrame(bytes.subarray(0, length))).toThrow(FrameError);
    }
  });

  it.each(whole)("reads at an odd offset with bytes behind: $name", ({ hex }) => {
    const bytes = bytesOf(hex);
    const padded = new Uint8Array(bytes.length + 10);
    padded.set(bytes, 3);
    expect(decodeFrame(padded, 3, false)).toEqual(decodeFrame(bytes));
  });

  it("keeps an index exact or says that it cannot", () => {
    expect(sampleIndex(9_007_199_254_740_991n)).toBe(9_007_199_254_740_991);
    expect(sampleIndex(9_007_199_254_740_992n)).toBeNull();
  });
});
