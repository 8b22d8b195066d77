/**
 * The answer of `…/waves` (docs/protocol.md, section 7): a JSON text with the descriptions, then native frames, all
 * padded to multiples of 8. Bytes in, runs of samples out, in order of time.
 */
import { decodeFrame, MISSING, sampleIndex } from "../protocol/frame";
import type { Describe } from "../protocol/messages";

/** Samples of one stream that follow each other without a hole. */
export interface SampleRun {
  readonly kind: "samples";
  readonly describe: Describe;
  readonly t0Us: number;
  readonly usPerStep: number;
  readonly firstSample: number;
  readonly n: number;
  /** One array of n a channel. */
  readonly channels: readonly Int32Array[];
}

/** Least and greatest sample of each column of time. */
export interface ColumnRun {
  readonly kind: "columns";
  readonly describe: Describe;
  readonly t0Us: number;
  readonly usPerStep: number;
  readonly firstSample: number;
  readonly n: number;
  readonly minima: readonly Int32Array[];
  readonly maxima: readonly Int32Array[];
}

export type Run = SampleRun | ColumnRun;

/** A frame that begins this much of a sample beside the run's own time still belongs to it (clock fixes move by ms). */
const SAME_RUN_US = 500_000;

/** Read an answer that was asked with `usPerColumn` (the asked span divided by its columns). */
export function readAnswer(bytes: Uint8Array, usPerColumn: number): Run[] {
  const head = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = head.getUint32(0, true);
  const { describes } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as {
    describes: readonly Describe[];
  };
  const byView = new Map(describes.map((describe) => [describe.view, describe]));
  const runs: Run[] = [];
  const pieces = new Map<number, Piece[]>();
  for (let offset = 8 + length + pad(length); offset < bytes.length; ) {
    const frame = decodeFrame(bytes, offset, false);
    offset += frame.size + pad(frame.size);
    const describe = byView.get(frame.view);
    if (describe === undefined) continue;
    const { n, channels, samples, t0Us } = frame;
    const firstSample = sampleIndex(frame.firstSample);
    if (firstSample === null) continue;
    if (frame.codec === "minmax") {
      const part = (c: number, which: number) => samples.subarray((2 * c + which) * n, (2 * c + which + 1) * n);
      const each = Array.from({ length: channels }, (_, c) => c);
      const minima = each.map((c) => part(c, 0));
      const maxima = each.map((c) => part(c, 1));
      runs.push({ kind: "columns", describe, t0Us, usPerStep: usPerColumn, firstSample, n, minima, maxima });
    } else {
      const list = pieces.get(frame.view) ?? [];
      list.push({ firstSample, n, t0Us, samples, channels });
      pieces.set(frame.view, list);
    }
  }
  for (const [view, list] of pieces) {
    const describe = byView.get(view);
    if (describe !== undefined) runs.push(...joined(describe, list));
  }
  return runs.sort((a, b) => a.t0Us - b.t0Us);
}

interface Piece {
  readonly firstSample: number;
  readonly n: number;
  readonly t0Us: number;
  readonly samples: Int32Array;
  readonly channels: number;
}

function joined(describe: Describe, pieces: Piece[]): SampleRun[] {
  const usPerStep = (1e6 * describe.rate[1]) / describe.rate[0];
  pieces.sort((a, b) => a.firstSample - b.firstSample);
  const runs: SampleRun[] = [];
  let group: Piece[] = [];
  const close = () => {
    const first = group[0];
    if (first !== undefined) runs.push(merge(describe, usPerStep, first, group));
    group = [];
  };
  for (const piece of pieces) {
    const last = group.at(-1);
    const first = group[0];
    if (last !== undefined && first !== undefined) {
      const expected = first.t0Us + (piece.firstSample - first.firstSample) * usPerStep;
      const follows = piece.firstSample === last.firstSample + last.n;
      if (!follows || Math.abs(piece.t0Us - expected) > SAME_RUN_US) close();
    }
    group.push(piece);
  }
  close();
  return runs;
}

function merge(describe: Describe, usPerStep: number, first: Piece, group: readonly Piece[]): SampleRun {
  const n = group.reduce((sum, piece) => sum + piece.n, 0);
  const channels = Array.from({ length: first.channels }, (_, c) => {
    const all = new Int32Array(n).fill(MISSING);
    for (const piece of group) {
      all.set(piece.samples.subarray(c * piece.n, (c + 1) * piece.n), piece.firstSample - first.firstSample);
    }
    return all;
  });
  return { kind: "samples", describe, t0Us: first.t0Us, usPerStep, firstSample: first.firstSample, n, channels };
}

const pad = (size: number): number => (8 - (size % 8)) % 8;
