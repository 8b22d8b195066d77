/** Which lines of the chat were read in this tab: the number of the newest, so that a reload brings none of them back. */
import { signal } from "@preact/signals";
import type { Line } from "../protocol/people";
import { newLines } from "../room/news";

export class Reading {
  readonly through;
  private readonly key: string;

  constructor(consultation: string, seat: string | null) {
    this.key = `telemed.read.${consultation}.${seat ?? ""}`;
    this.through = signal(this.remembered());
  }

  /** These lines have been on the screen. */
  read(lines: readonly Line[]): void {
    const last = lines.reduce((most, line) => Math.max(most, line.n), this.through.peek());
    if (last === this.through.peek()) return;
    this.through.value = last;
    if (typeof sessionStorage !== "undefined") sessionStorage.setItem(this.key, String(last));
  }

  /** What others said and was not read, oldest first. */
  unread(lines: readonly Line[], me: string | null): readonly Line[] {
    return newLines(lines, this.through.value, me);
  }

  private remembered(): number {
    const kept = typeof sessionStorage === "undefined" ? null : sessionStorage.getItem(this.key);
    const number = Number(kept ?? 0);
    return Number.isSafeInteger(number) && number > 0 ? number : 0;
  }
}
