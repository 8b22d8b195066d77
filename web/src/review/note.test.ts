import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import type { NoteVersion } from "../api/staff";
import { Note, type NoteServer } from "./note";

class Memory implements NoteServer {
  draft: string | null = null;
  versions: NoteVersion[] = [];
  saves = 0;
  refuse: ApiError | null = null;
  hold: Promise<void> = Promise.resolve();

  notes = async () => ({ draft: this.draft, notes: this.versions });
  saveDraft = async (_: string, text: string) => {
    await this.hold;
    this.saves++;
    if (this.refuse !== null) throw this.refuse;
    this.draft = text;
  };
  sign = async (_: string, text: string) => this.add(text, null);
  amend = async (_: string, text: string, reason: string) => this.add(text, reason);

  private add(text: string, reason: string | null): void {
    if (this.refuse !== null) throw this.refuse;
    this.versions = [
      ...this.versions,
      { version: this.versions.length + 1, at: "", by: { id: "a", name: "A" }, text, reason },
    ];
    this.draft = null;
  }
}

describe("the note", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("saves itself once when the typing pauses", async () => {
    const server = new Memory();
    const note = new Note("c", server, () => 5);
    await note.load();
    for (const text of ["a", "ab", "abc"]) {
      note.write(text);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(note.saving.value).toBe("unsaved");
    await vi.advanceTimersByTimeAsync(1_000);
    expect([server.draft, server.saves, note.saving.value, note.savedAt.value]).toEqual(["abc", 1, "saved", 5]);
  });

  it("saves what was typed while it was saving", async () => {
    const server = new Memory();
    const note = new Note("c", server);
    let go = () => {};
    server.hold = new Promise((resolve) => {
      go = () => resolve();
    });
    note.write("first");
    await vi.advanceTimersByTimeAsync(1_000);
    note.write("first and second");
    go();
    await vi.advanceTimersByTimeAsync(1_000);
    expect([server.draft, note.saving.value]).toEqual(["first and second", "saved"]);
  });

  it("says that it is not saved, and tries again while the server is away", async () => {
    const server = new Memory();
    const note = new Note("c", server);
    server.refuse = new ApiError("no_connection", {}, 0);
    note.write("text");
    await vi.advanceTimersByTimeAsync(1_000);
    expect([note.saving.value, note.fault.value?.code]).toEqual(["failed", "no_connection"]);
    server.refuse = null;
    await vi.advanceTimersByTimeAsync(5_000);
    expect([server.draft, note.saving.value, note.fault.value]).toEqual(["text", "saved", null]);
  });

  it("does not ask again for what is refused for good", async () => {
    const server = new Memory();
    const note = new Note("c", server);
    server.refuse = new ApiError("state_refused", {}, 409);
    note.write("text");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.saves).toBe(1);
  });

  it("saves what is left when the page is left", async () => {
    const server = new Memory();
    const note = new Note("c", server);
    note.write("text");
    note.close();
    await vi.advanceTimersByTimeAsync(0);
    expect(server.draft).toBe("text");
  });

  it("keeps what was typed when the answer of loading comes late, and what is refused at signing", async () => {
    const server = new Memory();
    server.draft = "old";
    const note = new Note("c", server);
    note.write("new");
    await note.load();
    expect(note.text.value).toBe("new");
    server.refuse = new ApiError("state_refused", {}, 409);
    expect(await note.sign()).toBe(false);
    expect([note.text.value, note.fault.value?.code]).toEqual(["new", "state_refused"]);
  });

  it("is signed and amended, and lists its versions", async () => {
    const server = new Memory();
    const note = new Note("c", server);
    note.write("one");
    expect(await note.sign()).toBe(true);
    expect(await note.amend("two", "a wrong word")).toBe(true);
    expect(note.versions.value.map((one) => [one.version, one.text, one.reason])).toEqual([
      [1, "one", null],
      [2, "two", "a wrong word"],
    ]);
    expect(note.latest.value?.text).toBe("two");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.saves).toBe(0);
  });
});
