/**
 * What one person said and the server has not confirmed. A line keeps its name until its LINE comes back, so however
 * often it is sent it is one line. Unconfirmed text survives a reload of the page; files do not.
 */
import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { uploadFile } from "../api/room";
import type { Line } from "../protocol/people";

/** docs/protocol.md section 8: a line of chat has 1–4,000 characters. */
export const TEXT_MOST = 4_000;
/** Lines and files that may wait at once. */
export const PENDING_MOST = 100;

/** A refusal that passes by itself: the line is said again after this time. */
const AGAIN_MS = 2_000;
const PASSING = new Set(["database_unavailable", "not_stored", "too_many_messages", "too_many_uploads"]);

/** The text as the protocol takes it: no control characters but tab and line ends, whole characters, not too long. */
export function wordsOf(text: string): string {
  const clean = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the protocol refuses
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "")
    .replace(/\p{Surrogate}/gu, "\ufffd")
    .trim()
    .slice(0, TEXT_MOST);
  // A character of two halves may have been cut in the middle.
  return clean.replace(/[\ud800-\udbff]$/, "");
}

export interface PendingLine {
  /** The author's own name for the line, a UUID. */
  readonly line: string;
  readonly text: string;
  readonly file: { readonly name: string; readonly bytes: number; readonly sent: number } | null;
  /** waits for the connection; is on its way; was refused with `code`. */
  readonly state: "waits" | "sending" | "refused";
  readonly code: string | null;
}

interface KeptText {
  readonly by: string;
  readonly line: string;
  readonly text: string;
}

export class Outbox {
  readonly pending = signal<readonly PendingLine[]>([]);
  private me: string | null = null;
  private open = false;
  private readonly files = new Map<string, { readonly file: File; readonly onProgress: (sent: number) => void }>();
  private readonly uploading = new Set<string>();
  private readonly key: string;

  constructor(
    private readonly id: string,
    private readonly as: string | null,
    private readonly send: (message: object) => boolean,
    private readonly onLine: (line: Line) => void,
  ) {
    this.key = `telemed.pending.${id}.${as ?? ""}`;
  }

  /**
   * Nothing happens with a text of white space alone, and none is longer than TEXT_MOST. False, and nothing is taken,
   * while too many wait.
   */
  say(text: string): boolean {
    const words = wordsOf(text);
    if (words === "") return true;
    if (this.pending.value.length >= PENDING_MOST) return false;
    const line = crypto.randomUUID();
    this.pending.value = [...this.pending.value, { line, text: words, file: null, state: "waits", code: null }];
    this.keep();
    if (this.open) this.sendText(line, words);
    return true;
  }

  sendFile(file: File, onProgress: (sent: number) => void): Promise<void> {
    if (this.pending.value.length >= PENDING_MOST) return Promise.resolve();
    const line = crypto.randomUUID();
    this.files.set(line, { file, onProgress });
    const shown = { name: file.name, bytes: file.size, sent: 0 };
    this.pending.value = [...this.pending.value, { line, text: "", file: shown, state: "waits", code: null }];
    return this.open ? this.upload(line) : Promise.resolve();
  }

  /** Try a refused line or file again, or drop it. */
  again(line: string): void {
    const one = this.pending.value.find((waiting) => waiting.line === line);
    if (one === undefined || this.uploading.has(line)) return;
    this.change(line, { state: "waits", code: null });
    if (!this.open) return;
    if (one.file === null) this.sendText(line, one.text);
    else void this.upload(line);
  }

  drop(line: string): void {
    this.files.delete(line);
    this.pending.value = this.pending.value.filter((one) => one.line !== line);
    this.keep();
  }

  /** The connection is there (again) for this person: everything unconfirmed goes out once more. */
  resume(me: string): void {
    if (this.me === null) this.restore(me);
    this.me = me;
    this.open = true;
    this.keep();
    for (const one of this.pending.value) {
      if (one.state === "refused") continue;
      if (one.file === null) this.sendText(one.line, one.text);
      else void this.upload(one.line);
    }
  }

  pause(): void {
    this.open = false;
    if (this.pending.value.every((one) => one.state !== "sending" || one.file !== null)) return;
    this.pending.value = this.pending.value.map((one) =>
      one.state === "sending" && one.file === null ? { ...one, state: "waits" } : one,
    );
  }

  /** Lines that the server has: what of them is ours is confirmed. */
  confirmed(lines: readonly Line[]): void {
    const mine = new Set(lines.filter((one) => one.by.id === this.me).map((one) => one.line));
    if (!this.pending.value.some((one) => mine.has(one.line))) return;
    for (const line of mine) this.files.delete(line);
    this.pending.value = this.pending.value.filter((one) => !mine.has(one.line));
    this.keep();
  }

  /** The server refused a line. */
  refused(line: string, code: string): void {
    const one = this.pending.value.find((waiting) => waiting.line === line);
    if (one === undefined || one.file !== null) return;
    if (!PASSING.has(code)) this.change(line, { state: "refused", code });
    else setTimeout(() => this.again(line), AGAIN_MS);
  }

  /** Leave nothing in this browser. */
  forget(): void {
    this.pending.value = [];
    this.files.clear();
    this.keep();
  }

  private sendText(line: string, text: string): void {
    if (this.send({ type: "say", line, text })) this.change(line, { state: "sending" });
  }

  private async upload(line: string): Promise<void> {
    const waiting = this.files.get(line);
    if (waiting === undefined || this.uploading.has(line)) return;
    this.uploading.add(line);
    this.change(line, { state: "sending" });
    try {
      const shown = await uploadFile(this.id, this.as, line, waiting.file, (sent) => {
        waiting.onProgress(sent);
        this.progress(line, sent);
      });
      this.confirmed([shown]);
      this.onLine(shown);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 0 && !PASSING.has(error.code)) this.change(line, { state: "refused", code: error.code });
      else {
        this.change(line, { state: "waits" });
        setTimeout(() => this.again(line), AGAIN_MS);
      }
    } finally {
      this.uploading.delete(line);
    }
  }

  private progress(line: string, sent: number): void {
    const file = this.pending.value.find((one) => one.line === line)?.file;
    if (file != null) this.change(line, { file: { ...file, sent: Math.min(sent, file.bytes) } });
  }

  private change(line: string, change: Partial<PendingLine>): void {
    this.pending.value = this.pending.value.map((one) => (one.line === line ? { ...one, ...change } : one));
  }

  private keep(): void {
    if (typeof sessionStorage === "undefined" || this.me === null) return;
    const { me } = this;
    const texts: KeptText[] = this.pending.value
      .filter((one) => one.file === null)
      .map((one) => ({ by: me, line: one.line, text: one.text }));
    if (texts.length === 0) sessionStorage.removeItem(this.key);
    else sessionStorage.setItem(this.key, JSON.stringify(texts));
  }

  /** What this person said in this tab before the page was loaded anew. */
  private restore(me: string): void {
    if (typeof sessionStorage === "undefined") return;
    let kept: KeptText[];
    try {
      kept = JSON.parse(sessionStorage.getItem(this.key) ?? "[]") as KeptText[];
    } catch {
      return;
    }
    const known = new Set(this.pending.value.map((one) => one.line));
    const mine = kept.filter((one) => one.by === me && !known.has(one.line));
    const waiting = mine.map(({ line, text }) => ({ line, text, file: null, state: "waits" as const, code: null }));
    this.pending.value = [...waiting, ...this.pending.value];
  }
}
