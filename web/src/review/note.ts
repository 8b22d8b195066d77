/**
 * The note of a visit: a draft that saves itself while it is written, then signed versions. No DOM.
 *
 * What was typed is never lost silently: `saving` says whether the server has it, a failed save is tried again, and
 * leaving the page saves what is left.
 */
import { computed, signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { type NoteVersion, staff } from "../api/staff";
import { noticeSignedOut } from "../parts/account";

const PAUSE_MS = 800;
const AGAIN_MS = 4_000;

export type Saving = "saved" | "unsaved" | "saving" | "failed";

/** What the note asks of the server; the real one is the API. */
export interface NoteServer {
  notes(id: string): Promise<{ readonly draft: string | null; readonly notes: readonly NoteVersion[] }>;
  saveDraft(id: string, text: string): Promise<void>;
  sign(id: string, text: string): Promise<void>;
  amend(id: string, text: string, reason: string): Promise<void>;
}

export class Note {
  readonly text = signal("");
  readonly versions = signal<readonly NoteVersion[]>([]);
  readonly loaded = signal(false);
  readonly saving = signal<Saving>("saved");
  readonly savedAt = signal<number | null>(null);
  readonly fault = signal<ApiError | null>(null);
  readonly latest = computed(() => this.versions.value.at(-1) ?? null);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: Promise<void> | null = null;

  constructor(
    readonly id: string,
    private readonly server: NoteServer = staff,
    private readonly now: () => number = () => Date.now(),
  ) {}

  async load(): Promise<void> {
    await this.guard(async () => {
      const { draft, notes } = await this.server.notes(this.id);
      this.versions.value = [...notes].sort((a, b) => a.version - b.version);
      if (this.saving.value === "saved") this.text.value = draft ?? "";
      this.loaded.value = true;
      this.fault.value = null;
    });
  }

  /** The draft is this now; saved when the typing pauses. */
  write(text: string): void {
    if (text === this.text.value) return;
    this.text.value = text;
    this.saving.value = "unsaved";
    this.schedule(PAUSE_MS);
  }

  /** Save what is not saved yet; resolves when the server has it or refused. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    while (this.saving.value !== "saved") {
      this.running ??= this.save().finally(() => {
        this.running = null;
      });
      await this.running;
      if (this.saving.value === "failed") return;
    }
  }

  /** Sign the draft. True when it is signed. */
  sign(): Promise<boolean> {
    clearTimeout(this.timer);
    return this.done(() => this.server.sign(this.id, this.text.value));
  }

  /** A new version instead of the last one, with the reason. True when the server has it. */
  amend(text: string, reason: string): Promise<boolean> {
    return this.done(() => this.server.amend(this.id, text, reason));
  }

  close(): void {
    void this.flush();
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.flush(), ms);
  }

  private async save(): Promise<void> {
    const text = this.text.value;
    this.saving.value = "saving";
    try {
      await this.server.saveDraft(this.id, text);
      this.savedAt.value = this.now();
      this.fault.value = null;
      this.saving.value = this.text.value === text ? "saved" : "unsaved";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.saving.value = "failed";
      if (noticeSignedOut(error)) return;
      this.fault.value = error;
      // Refused for good (the visit was signed meanwhile) is not asked for again and again.
      if (error.status === 0 || error.status >= 500) this.schedule(AGAIN_MS);
    }
  }

  private async done(act: () => Promise<void>): Promise<boolean> {
    await this.running;
    const ok = await this.guard(async () => {
      await act();
      this.saving.value = "saved";
    });
    if (ok) await this.load();
    return ok;
  }

  private async guard(act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!noticeSignedOut(error)) this.fault.value = error;
      return false;
    }
  }
}
