/**
 * The native frame (docs/protocol.md, section 2): bytes in, one frozen value or one named error out.
 *
 * The minimum of the dtype means "missing" and becomes MISSING. Sequence and sample indices are 64 bits on the wire and
 * bigint here; `sampleIndex` makes an exact number of one that the page can draw.
 */
import { crc32 } from "./crc32";

export const HEADER_BYTES = 56;
export const MAX_CHANNELS = 32;
export const MAX_SAMPLES = 65_536;
/** What a missing sample is inside the page, whatever the dtype on the wire. */
export const MISSING = -2_147_483_648;

const MAGIC = 0x31_46_4d_54; // "TMF1", little-endian
const VERSION = 1;
const INT16 = 1;
const INT32 = 2;
const CODEC_RAW = 0;
const CODEC_MIN_MAX = 1;
const FLAG_GAP_BEFORE = 1;
const FLAG_PROVISIONAL = 2;
const MISSING_INT16 = -32_768;

/** A stamp lies in [1970, 2200). */
const TIME_END_US = 7_258_118_400_000_000n;
const FLAGS_RESERVED = 0xfffc;
const OFF_BITS = 16;

export type FrameErrorCode =
  | "frame_too_short"
  | "frame_magic"
  | "frame_version"
  | "frame_codec"
  | "frame_dtype"
  | "frame_channels"
  | "frame_samples"
  | "frame_length"
  | "frame_checksum"
  | "frame_reserved"
  | "frame_time";

/** The bytes are not a frame; `code` says why. */
export class FrameError extends Error {
  constructor(readonly code: FrameErrorCode) {
    super(code);
  }
}

export interface Frame {
  readonly codec: "raw" | "minmax";
  readonly channels: number;
  readonly stream: number;
  /** Samples (or columns) of each channel. */
  readonly n: number;
  readonly seq: bigint;
  readonly firstSample: bigint;
  /** Consultation time of the first sample, µs since 1970. */
  readonly t0Us: number;
  readonly gapBefore: boolean;
  readonly provisional: boolean;
  /** Bit i: the electrode of channel i is off. */
  readonly electrodesOff: number;
  readonly view: number;
  /** Lead-major: channel c of a raw frame is samples[c*n .. c*n+n); of a minmax frame n minima, then n maxima. */
  readonly samples: Int32Array;
  /** Bytes of header and payload together. */
  readonly size: number;
}

/** The frame that starts at `offset`. `exact` (a WebSocket message) refuses anything behind it. */
export function decodeFrame(bytes: Uint8Array, offset = 0, exact = true): Frame {
  if (bytes.length - offset < HEADER_BYTES) throw new FrameError("frame_too_short");
  const head = new DataView(bytes.buffer, bytes.byteOffset + offset, HEADER_BYTES);
  if (head.getUint32(0, true) !== MAGIC) throw new FrameError("frame_magic");
  if (head.getUint8(4) !== VERSION) throw new FrameError("frame_version");
  const codec = head.getUint8(5);
  if (codec !== CODEC_RAW && codec !== CODEC_MIN_MAX) throw new FrameError("frame_codec");
  const dtype = head.getUint8(6);
  if (dtype !== INT16 && dtype !== INT32) throw new FrameError("frame_dtype");
  const channels = head.getUint8(7);
  if (channels < 1 || channels > MAX_CHANNELS) throw new FrameError("frame_channels");
  const n = head.getUint32(12, true);
  if (n < 1 || n > MAX_SAMPLES) throw new FrameError("frame_samples");
  const count = channels * n * (codec === CODEC_MIN_MAX ? 2 : 1);
  const payload = count * (dtype === INT16 ? 2 : 4);
  if (head.getUint32(40, true) !== payload) throw new FrameError("frame_length");
  const size = HEADER_BYTES + payload;
  if (bytes.length - offset < size) throw new FrameError("frame_length");
  if (exact && bytes.length - offset !== size) throw new FrameError("frame_length");
  if (head.getUint32(44, true) !== checksum(bytes, offset, size)) throw new FrameError("frame_checksum");
  if (head.getUint16(54, true) !== 0) throw new FrameError("frame_reserved");
  const flags = head.getUint32(48, true);
  const electrodesOff = flags >>> 16;
  if ((flags & FLAGS_RESERVED) !== 0 || electrodesOff >>> Math.min(channels, OFF_BITS) !== 0) {
    throw new FrameError("frame_reserved");
  }
  const t0Us = head.getBigInt64(32, true);
  if (t0Us < 0n || t0Us >= TIME_END_US) throw new FrameError("frame_time");
  return {
    codec: codec === CODEC_RAW ? "raw" : "minmax",
    channels,
    stream: head.getUint32(8, true),
    n,
    seq: head.getBigUint64(16, true),
    firstSample: head.getBigUint64(24, true),
    t0Us: Number(t0Us),
    gapBefore: (flags & FLAG_GAP_BEFORE) !== 0,
    provisional: (flags & FLAG_PROVISIONAL) !== 0,
    electrodesOff,
    view: head.getUint16(52, true),
    samples: readSamples(bytes, offset + HEADER_BYTES, count, dtype),
    size,
  };
}

const ZERO_CRC = new Uint8Array(4);
const CRC_OFFSET = 44;

function checksum(bytes: Uint8Array, offset: number, size: number): number {
  const before = crc32(bytes.subarray(offset, offset + CRC_OFFSET));
  const field = crc32(ZERO_CRC, before);
  return crc32(bytes.subarray(offset + CRC_OFFSET + 4, offset + size), field);
}

function readSamples(bytes: Uint8Array, start: number, count: number, dtype: number): Int32Array {
  const samples = new Int32Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  if (dtype === INT32) {
    for (let i = 0; i < count; i++) samples[i] = view.getInt32(4 * i, true);
    return samples;
  }
  for (let i = 0; i < count; i++) {
    const value = view.getInt16(2 * i, true);
    samples[i] = value === MISSING_INT16 ? MISSING : value;
  }
  return samples;
}

/** The index as a number; null beyond 2^53, where numbers are no longer exact (285,000 years at 1 kHz). */
export function sampleIndex(index: bigint): number | null {
  const number = Number(index);
  return Number.isSafeInteger(number) ? number : null;
}
