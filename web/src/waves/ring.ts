/**
 * The newest samples of one view, every channel addressed by the absolute index of the sample.
 *
 * A hole between two frames is filled with MISSING and keeps its length; a sample that was never received is
 * MISSING, never a made-up value.
 */
import { MISSING } from "../protocol/frame";

export class SampleRing {
  private readonly data: Int32Array[];
  private firstIndex = 0;
  private endIndex = 0;

  /** `capacity` samples a channel are kept. */
  constructor(
    readonly channels: number,
    readonly capacity: number,
  ) {
    this.data = Array.from({ length: channels }, () => new Int32Array(capacity).fill(MISSING));
  }

  /** Absolute index of the oldest sample that is kept. */
  get first(): number {
    return Math.max(this.firstIndex, this.endIndex - this.capacity);
  }

  /** Absolute index behind the newest sample; 0 before the first write. */
  get end(): number {
    return this.endIndex;
  }

  get empty(): boolean {
    return this.endIndex === this.firstIndex;
  }

  /** Put n samples a channel (lead-major in `samples`) at absolute index `first`. */
  write(first: number, n: number, samples: Int32Array): void {
    if (this.empty) {
      this.firstIndex = first;
      this.endIndex = first;
    }
    if (first > this.endIndex) this.fill(Math.max(this.endIndex, first - this.capacity), first);
    const skip = Math.max(0, this.first - first, n - this.capacity);
    for (let c = 0; c < this.channels; c++) {
      const channel = this.data[c] as Int32Array;
      for (let i = skip; i < n; i++) channel[(first + i) % this.capacity] = samples[c * n + i] as number;
    }
    this.endIndex = Math.max(this.endIndex, first + n);
  }

  /** The sample, or MISSING when it is not there. */
  at(channel: number, index: number): number {
    if (index < this.first || index >= this.endIndex) return MISSING;
    return (this.data[channel] as Int32Array)[index % this.capacity] as number;
  }

  private fill(from: number, to: number): void {
    for (const channel of this.data) {
      for (let i = from; i < to; i++) channel[i % this.capacity] = MISSING;
    }
  }
}
