import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Backoff, LONGEST_WAIT_MS } from "./backoff";
import { PageClock } from "./clock";
import { BUSY_SILENCE_MS, ConsultationSocket, SILENCE_MS, type SocketListener, STALE_MS } from "./socket";

class FakeSocket {
  static made: FakeSocket[] = [];
  readyState = 0;
  binaryType = "blob";
  sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor() {
    FakeSocket.made.push(this);
  }
  accept() {
    this.readyState = 1;
    this.onopen?.();
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
}

function open() {
  const heard: string[] = [];
  const listener: SocketListener = {
    hello: () => ({ chat_after: 7 }),
    onState: (state) => heard.push(state),
    onMessage: (message) => heard.push(message.type),
    onFrame: () => heard.push("frame"),
    onBadFrame: (code) => heard.push(code),
  };
  const clock = new PageClock(
    () => 1_000,
    () => 1_700_000_000_000,
  );
  const make = () => new FakeSocket() as unknown as WebSocket;
  const wall = { ms: 1_700_000_000_000 };
  const socket = new ConsultationSocket("ws://here", "a-source", clock, listener, make, () => wall.ms);
  socket.start();
  return { socket, heard, clock, wall };
}

const last = () => FakeSocket.made.at(-1) as FakeSocket;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.made = [];
});
afterEach(() => vi.useRealTimers());

describe("the consultation socket", () => {
  it("says hello first and is open when it is welcomed", () => {
    const { heard } = open();
    last().accept();
    expect(last().sent).toEqual([{ type: "hello", protocol: 1, oldest: 1, source: "a-source", chat_after: 7 }]);
    last().say({ type: "welcome" });
    expect(heard).toEqual(["connecting", "open", "welcome"]);
  });

  it("answers the clock at once with its stamp", () => {
    const { clock } = open();
    last().accept();
    last().say({ type: "clock_ask", server_us: 1_700_000_000_500_000 });
    expect(last().sent[1]).toEqual({ type: "clock", echo: 1_700_000_000_500_000, stamp_us: 1_700_000_000_000_000 });
    expect(clock.serverUs()).toBe(1_700_000_000_500_000);
  });

  it("comes back by itself, each time a little later, never above three seconds", () => {
    const { heard } = open();
    for (let attempt = 0; attempt < 12; attempt++) {
      const made = FakeSocket.made.length;
      last().close();
      vi.advanceTimersByTime(LONGEST_WAIT_MS);
      expect(FakeSocket.made.length).toBe(made + 1);
    }
    expect(heard.filter((what) => what === "lost")).toHaveLength(12);
  });

  it("counts silence as lost", () => {
    const { heard } = open();
    last().accept();
    last().say({ type: "welcome" });
    vi.advanceTimersByTime(SILENCE_MS);
    expect(heard.at(-1)).toBe("lost");
  });

  it("gives a line up sooner while the server tells of pictures every second", () => {
    const report = { type: "sender_report", publication: "p", kind: "video", ntp_ms: 1, rtp: 1 };
    const { heard } = open();
    last().accept();
    last().say({ type: "welcome" });
    last().say(report);
    last().say({ type: "clock_ask", server_us: 1 });
    vi.advanceTimersByTime(BUSY_SILENCE_MS - 1);
    expect(heard).not.toContain("lost");
    last().say({ type: "publications", publications: [] });
    vi.advanceTimersByTime(SILENCE_MS - 1);
    expect(heard).not.toContain("lost");
    last().say(report);
    vi.advanceTimersByTime(BUSY_SILENCE_MS);
    expect(heard.at(-1)).toBe("lost");
  });

  it("does not come back when the server refused for good, nor after close", () => {
    const { heard } = open();
    last().accept();
    last().say({ type: "error", error: { code: "not_signed_in" } });
    last().close();
    vi.advanceTimersByTime(60_000);
    expect([heard.at(-1), FakeSocket.made.length]).toEqual(["refused", 1]);
    const other = open();
    other.socket.close();
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.made.length).toBe(2);
  });

  it("wakes at once: after a long silence, over a changed network, and while it waits to try again", () => {
    const { socket, wall } = open();
    last().accept();
    last().say({ type: "welcome" });
    socket.wake(false);
    expect(FakeSocket.made.length).toBe(1);
    wall.ms += STALE_MS + 1;
    socket.wake(false);
    expect(FakeSocket.made.length).toBe(2);
    last().accept();
    last().say({ type: "welcome" });
    socket.wake(true);
    expect(FakeSocket.made.length).toBe(3);
    last().close();
    socket.wake(false);
    expect(FakeSocket.made.length).toBe(4);
    vi.advanceTimersByTime(LONGEST_WAIT_MS);
    expect(FakeSocket.made.length).toBe(4);
  });

  it("does not come back by itself after a pause, and does after start", () => {
    const { socket } = open();
    last().accept();
    socket.pause();
    vi.advanceTimersByTime(60_000);
    expect([FakeSocket.made.length, socket.send({ type: "x" })]).toEqual([1, false]);
    socket.start();
    expect(FakeSocket.made.length).toBe(2);
  });

  it("takes a refusal of one message for no refusal of the connection", () => {
    const { heard } = open();
    last().accept();
    last().say({ type: "welcome" });
    last().say({ type: "error", error: { code: "forbidden" } });
    last().say({ type: "people", people: [] });
    last().close();
    expect(heard.at(-1)).toBe("lost");
  });

  it("passes over what it does not know and names a bad frame", () => {
    const { heard } = open();
    last().accept();
    last().say({ type: "of_a_newer_server" });
    last().onmessage?.({ data: "no json" });
    last().onmessage?.({ data: new ArrayBuffer(3) });
    expect(heard).toEqual(["connecting", "frame_too_short"]);
  });
});

describe("the backoff", () => {
  it("grows from a quarter of a second and begins again after success", () => {
    const backoff = new Backoff(() => 0.5);
    const waits = Array.from({ length: 15 }, () => backoff.next());
    expect(waits[0]).toBe(250);
    expect(waits.slice(0, 8).reduce((a, b) => a + b)).toBeLessThan(7_000);
    expect(waits.at(-1)).toBe(LONGEST_WAIT_MS);
    backoff.reset();
    expect(backoff.next()).toBe(250);
  });
});

describe("the page's clock", () => {
  it("never steps back with the wall clock and keeps the closest bound of a minute", () => {
    let steady = 0;
    const clock = new PageClock(
      () => steady,
      () => 5_000,
    );
    const before = clock.stampUs();
    steady = 10;
    expect(clock.stampUs()).toBe(before + 10_000);
    for (const late of [30, 5, 90]) clock.asked(clock.stampUs() + 1_000_000 - late * 1000);
    expect(clock.serverUs()).toBe(clock.stampUs() + 995_000);
  });
});
