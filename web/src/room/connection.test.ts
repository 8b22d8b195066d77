import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Line, Person } from "../protocol/people";
import { RoomConnection } from "./connection";

const ROOM = "37e582e6-7735-418c-a427-35dd45e7333f";
const ME = "seat-of-mine";

class FakeSocket {
  static made: FakeSocket[] = [];
  readyState = 0;
  binaryType = "blob";
  sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly url: string) {
    FakeSocket.made.push(this);
  }
  welcome(more: object = {}) {
    this.readyState = 1;
    this.onopen?.();
    const visit = { seat_state: "admitted", state: "live" };
    this.say({ type: "welcome", server: "s1", me: ME, people: [], publications: [], streams: [], visit, ...more });
  }
  say(message: object) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close() {
    this.readyState = 3;
    this.onclose?.();
  }
  of(type: string) {
    return this.sent.filter((message) => message.type === type);
  }
}

const line = (n: number, by = "another", name = `line ${n}`): Line => ({
  n,
  line: name,
  at: "2026-11-22T10:00:00Z",
  by: { id: by, role: "clinician", name: null },
  text: `text ${n}`,
  file: null,
});

let rooms: RoomConnection[] = [];
const last = () => FakeSocket.made.at(-1) as FakeSocket;
function open(as: string | null = ME): RoomConnection {
  const room = new RoomConnection(ROOM, as, {}, (url) => new FakeSocket(url) as unknown as WebSocket);
  rooms.push(room);
  return room;
}
const numbers = (room: RoomConnection) => room.lines.value.map((one) => one.n);

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.made = [];
  vi.stubGlobal("location", { protocol: "https:", host: "clinic.example" });
  const kept = new Map<string, string>();
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  });
});
afterEach(() => {
  for (const room of rooms) room.close();
  rooms = [];
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a room's connection", () => {
  it("is the seat's for a guest and the sign-in's for staff", () => {
    open();
    expect(last().url).toBe(`wss://clinic.example/ws/consultations/${ROOM}?as=${ME}`);
    open(null);
    expect(last().url).toBe(`wss://clinic.example/ws/consultations/${ROOM}`);
  });

  it("tells the newest line it has when it says hello, and asks for nothing twice", () => {
    const room = open();
    last().welcome();
    expect(last().of("hello")[0]).toMatchObject({ chat_after: 0 });
    last().say({ type: "chat", lines: [line(1), line(2)], through: 2 });
    last().close();
    vi.advanceTimersByTime(3_000);
    last().welcome();
    expect(last().of("hello")[0]).toMatchObject({ chat_after: 2 });
    last().say({ type: "chat", lines: [line(2), line(3)], through: 3 });
    expect(numbers(room)).toEqual([1, 2, 3]);
  });

  it("shows no line after a hole, asks for what is missing and then shows all in order", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (path: string) => {
      asked.push(path);
      return new Response(JSON.stringify({ lines: [line(2), line(3), line(4)] }));
    });
    const room = open();
    last().welcome();
    last().say({ type: "chat", lines: [line(1)], through: 1 });
    last().say({ type: "chat", lines: [line(4)], through: 4 });
    expect(numbers(room)).toEqual([1]);
    await vi.waitFor(() => expect(numbers(room)).toEqual([1, 2, 3, 4]));
    expect(asked).toEqual([`/api/v1/consultations/${ROOM}/chat?after=1&as=${ME}`]);
  });

  it("waits for the rest of a long chat before it asks, and asks when the rest does not come", async () => {
    const fetched = vi.fn(async () => new Response(JSON.stringify({ lines: [line(3)] })));
    vi.stubGlobal("fetch", fetched);
    const room = open();
    last().welcome();
    last().say({ type: "chat", lines: [line(1), line(2)], through: 3 });
    expect(fetched).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(numbers(room)).toEqual([1, 2, 3]);
  });
});

describe("a line that was said", () => {
  it("waits for the connection and is sent once under its name; its LINE confirms it", () => {
    const room = open();
    room.say("  before the connection  ");
    expect(room.pending.value[0]).toMatchObject({ text: "before the connection", state: "waits" });
    last().welcome();
    const said = last().of("say");
    expect(said).toHaveLength(1);
    expect(room.pending.value[0]?.state).toBe("sending");
    last().say({ type: "chat", lines: [line(1, ME, String(said[0]?.line))], through: 1 });
    expect(room.pending.value).toEqual([]);
    expect(numbers(room)).toEqual([1]);
  });

  it("is sent again under the same name after a reconnect, until it is confirmed", () => {
    const room = open();
    last().welcome();
    room.say("once");
    const name = last().of("say")[0]?.line;
    last().close();
    expect(room.pending.value[0]?.state).toBe("waits");
    vi.advanceTimersByTime(3_000);
    last().welcome();
    expect(last().of("say")).toEqual([{ type: "say", line: name, text: "once" }]);
    last().say({ type: "chat", lines: [line(1, ME, String(name))], through: 1 });
    last().close();
    vi.advanceTimersByTime(3_000);
    last().welcome();
    expect(last().of("say")).toEqual([]);
  });

  it("of somebody else with the same name confirms nothing", () => {
    const room = open();
    last().welcome();
    room.say("mine");
    const name = String(last().of("say")[0]?.line);
    last().say({ type: "chat", lines: [line(1, "another", name)], through: 1 });
    expect(room.pending.value).toHaveLength(1);
  });

  it("survives a reload of the page, but only for the one who said it, and not a sign-out", () => {
    open().say("not stored before anybody is known");
    last().welcome();
    rooms[0]?.say("kept");
    rooms[0]?.close();
    const again = open();
    last().welcome();
    expect(again.pending.value.map((one) => one.text)).toEqual(["not stored before anybody is known", "kept"]);
    expect(last().of("say")).toHaveLength(2);
    again.close();
    const other = open();
    last().welcome({ me: "somebody-else" });
    expect(other.pending.value).toEqual([]);
    const third = open();
    last().welcome();
    third.forget();
    const fourth = open();
    last().welcome();
    expect(fourth.pending.value).toEqual([]);
  });

  it("is never empty and never longer than the protocol allows", () => {
    const room = open();
    last().welcome();
    room.say("   ");
    room.say("x".repeat(5_000));
    room.say(`${"x".repeat(3_999)}😀`);
    room.say("\u0000a\u001b[31mb\tc\n\ud83dd");
    const texts = last()
      .of("say")
      .map((one) => String(one.text));
    expect(texts).toEqual(["x".repeat(4_000), "x".repeat(3_999), "a[31mb\tc\n\ufffdd"]);
  });

  it("and refused by the server says why, and goes again when that was passing or when asked", () => {
    const room = open();
    last().welcome();
    room.say("too fast");
    room.say("not allowed");
    const [fast, bad] = last().of("say");
    last().say({ type: "error", error: { code: "too_many_messages" }, line: fast?.line });
    last().say({ type: "error", error: { code: "forbidden" }, line: bad?.line });
    expect(room.pending.value.map((one) => [one.state, one.code])).toEqual([
      ["sending", null],
      ["refused", "forbidden"],
    ]);
    vi.advanceTimersByTime(2_000);
    expect(last().of("say")[2]).toEqual(fast);
    room.outbox.again(String(bad?.line));
    expect(last().of("say")[3]).toEqual(bad);
    room.outbox.drop(String(bad?.line));
    expect(room.pending.value).toHaveLength(1);
  });
});

describe("another page of the same person", () => {
  it("takes the place: this one is still, does not come back by itself, and can take the place back", () => {
    const room = open();
    last().welcome();
    expect(room.inCall.value).toBe(true);
    last().say({ type: "elsewhere" });
    expect([room.elsewhere.value, room.inCall.value]).toEqual([true, false]);
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.made).toHaveLength(1);
    room.continueHere();
    expect(FakeSocket.made).toHaveLength(2);
    last().welcome();
    expect([room.elsewhere.value, room.inCall.value]).toEqual([false, true]);
  });
});

describe("what a page says of itself", () => {
  it("is said at every welcome and at every change, not oftener", () => {
    const room = open();
    last().welcome();
    room.state({ camera: true });
    room.state({ camera: true });
    expect(
      last()
        .of("state")
        .map((one) => one.camera),
    ).toEqual([false, true]);
    last().close();
    vi.advanceTimersByTime(3_000);
    last().welcome();
    expect(last().of("state")).toEqual([
      { type: "state", camera: true, microphone: false, screen: false, network: "unknown" },
    ]);
  });
});

describe("picture and sound", () => {
  it.each([
    ["waiting", "live", false],
    ["admitted", "waiting", false],
    ["admitted", "live", true],
    ["admitted", "interrupted", true],
    ["removed", "live", false],
    ["admitted", "ended", false],
  ])("for a seat that is %s in a visit that is %s: %s", (seat_state, state, expected) => {
    const room = open();
    last().welcome({ visit: { seat_state, state } });
    expect(room.inCall.value).toBe(expected);
  });

  it("for staff only while they take part", () => {
    const made = (url: string) => new FakeSocket(url) as unknown as WebSocket;
    const room = new RoomConnection(ROOM, null, { takesPart: (info) => info.id === "mine" }, made);
    rooms.push(room);
    last().welcome({ visit: undefined, consultation: { id: "theirs", state: "live" } });
    expect(room.inCall.value).toBe(false);
    last().say({ type: "consultation", consultation: { id: "mine", state: "live" } });
    expect(room.inCall.value).toBe(true);
  });

  it("of a guest that was removed do not come back", () => {
    const room = open();
    last().welcome({ people: [] as Person[] });
    last().say({ type: "visit", visit: { seat_state: "removed", state: "live" } });
    last().say({ type: "error", error: { code: "seat_removed" } });
    last().close();
    vi.advanceTimersByTime(60_000);
    expect([room.socketState.value, room.inCall.value, FakeSocket.made.length]).toEqual(["refused", false, 1]);
  });
});

describe("a picture that the line is too poor for", () => {
  it("is told by its publication, and is shown again when it is played anew or the line carries it", () => {
    const room = open();
    last().welcome();
    last().say({ type: "picture", publication: "p1", level: "low" });
    expect([...room.tooPoor.value]).toEqual([]);
    last().say({ type: "picture", publication: "p1", level: "paused" });
    last().say({ type: "picture", publication: "p2", level: "paused" });
    const before = room.tooPoor.value;
    last().say({ type: "picture", publication: "p2", level: "paused" });
    expect(room.tooPoor.value).toBe(before);
    last().say({ type: "picture", publication: "p1", level: "low" });
    expect([...room.tooPoor.value]).toEqual(["p2"]);
    room.poor("p2", false);
    expect([...room.tooPoor.value]).toEqual([]);
  });
});
