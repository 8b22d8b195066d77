/** The lines of a room as they come: in any order, any number of times; what is shown has no hole. Pure. */
import type { Line } from "../protocol/people";

export class ChatLog {
  private readonly byNumber = new Map<number, Line>();
  private shown: readonly Line[] = [];
  private newest = 0;

  /** Take lines; `through` is the newest number of the room as the server knows it. True when something new is shown. */
  take(lines: readonly Line[], through = 0): boolean {
    for (const line of lines) {
      this.byNumber.set(line.n, line);
      this.newest = Math.max(this.newest, line.n);
    }
    this.newest = Math.max(this.newest, through);
    const more: Line[] = [];
    for (let n = this.end + 1; ; n++) {
      const line = this.byNumber.get(n);
      if (line === undefined) break;
      more.push(line);
    }
    if (more.length > 0) this.shown = [...this.shown, ...more];
    return more.length > 0;
  }

  /** Every line from the first to the last before a hole. */
  get lines(): readonly Line[] {
    return this.shown;
  }

  /** The number of the last line before a hole; 0 before any. */
  get end(): number {
    return this.shown.length;
  }

  /** A later line is here already, so those between were lost on the way. */
  get hole(): boolean {
    return this.byNumber.size > this.shown.length;
  }

  /** Lines that the server has and this page has not. */
  get missing(): boolean {
    return this.newest > this.end;
  }
}
