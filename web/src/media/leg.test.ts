import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Leg } from "./leg";

class FakeConnection extends EventTarget {
  static made: FakeConnection[] = [];
  static old = false;
  connectionState = "new";
  iceGatheringState = "complete";
  localDescription: { sdp: string } | null = null;
  onconnectionstatechange: (() => void) | null = null;
  bytes = 0;
  constructor() {
    super();
    FakeConnection.made.push(this);
  }
  createOffer = async () => ({ type: "offer", sdp: "v=0" });
  setLocalDescription = async () => {
    this.localDescription = { sdp: "v=0" };
  };
  setRemoteDescription = async () => undefined;
  getStats = async () => new Map([["pair", { type: "candidate-pair", bytesReceived: this.bytes }]]);
  configured: RTCConfiguration[] = [];
  setConfiguration = (one: RTCConfiguration) => {
    if (FakeConnection.old) throw new TypeError("setConfiguration is not a function");
    this.configured.push(one);
  };
  open = true;
  close = () => {
    this.open = false;
  };
  becomes(state: string) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

describe("a leg", () => {
  let asked: string[] = [];
  let answers = true;
  let servers: (path: string) => Promise<Response>;

  beforeEach(() => {
    vi.useFakeTimers();
    FakeConnection.made = [];
    asked = [];
    answers = true;
    servers = () => Promise.resolve(Response.json({ ice_servers: [], seconds: 600 }));
    FakeConnection.old = false;
    let sessions = 0;
    vi.stubGlobal("RTCPeerConnection", FakeConnection);
    vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
      if (path.includes("ice-servers")) return servers(path);
      asked.push(`${init.method} ${path}`);
      if (answers) {
        if (init.method !== "POST") return Promise.resolve(new Response(null));
        return Promise.resolve(new Response("v=0", { headers: { Location: `/whip/resources/${++sessions}` } }));
      }
      return new Promise((_, refuse) => init.signal?.addEventListener("abort", () => refuse(new Error("aborted"))));
    });
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  const settled = () => vi.advanceTimersByTimeAsync(0);
  const connected = async () => {
    const leg = new Leg({ path: "/whip/room", prepare: () => undefined, onState: () => undefined });
    await settled();
    FakeConnection.made[0]?.becomes("connected");
    return leg;
  };

  it("stays open until its successor is connected, so that others keep the picture of it", async () => {
    const leg = await connected();
    const open = () => FakeConnection.made.map((one) => one.open);
    void leg.wake(true);
    await settled();
    expect(asked).toEqual(["POST /whip/room", "POST /whip/room"]);
    expect(open()).toEqual([true, true]);
    // An attempt that never connected is not kept.
    void leg.wake(true);
    await settled();
    expect(asked.slice(2)).toEqual(["DELETE /whip/resources/2", "POST /whip/room"]);
    expect(open()).toEqual([true, false, true]);
    FakeConnection.made[2]?.becomes("connected");
    await settled();
    expect(asked.slice(4)).toEqual(["DELETE /whip/resources/1"]);
    expect(open()).toEqual([false, false, true]);
    await leg.close();
    expect(open()).toEqual([false, false, false]);
    expect(asked.slice(5)).toEqual(["DELETE /whip/resources/3"]);
  });

  it("gives up an offer that nobody answers, and at once when the line is another", async () => {
    const leg = await connected();
    answers = false;
    void leg.wake(true);
    await settled();
    expect(asked).toHaveLength(2);
    void leg.wake(true);
    await settled();
    expect(asked).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(5_500);
    expect(asked).toHaveLength(4);
  });

  it("is left alone by a page that wakes up while something comes, and made anew when nothing does", async () => {
    const leg = await connected();
    const [first] = FakeConnection.made;
    void leg.wake(false);
    await settled();
    if (first !== undefined) first.bytes = 100;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(asked).toHaveLength(1);
    void leg.wake(false);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(asked.slice(1)).toEqual(["POST /whip/room"]);
  });

  const TURN = { urls: ["turn:turn.example.org"], username: "1:x", credential: "c" };
  const begun = async (seat: string) => {
    const leg = new Leg({ path: `/whip/room?as=${seat}`, prepare: () => undefined, onState: () => undefined });
    await settled();
    return leg;
  };

  it("asks for TURN servers in the guest's name before its offer, and gives them to the connection", async () => {
    const questions: string[] = [];
    servers = (path) => {
      questions.push(path);
      expect(asked).toEqual([]);
      return Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 600 }));
    };
    await begun("seat-1");
    expect(questions).toEqual(["/api/v1/ice-servers?as=seat-1"]);
    expect(FakeConnection.made[0]?.configured).toEqual([{ iceServers: [TURN] }]);
    expect(asked).toEqual(["POST /whip/room?as=seat-1"]);
  });

  it("connects without them when they are slow, and when the browser does not take them", async () => {
    servers = () => new Promise(() => undefined);
    await begun("seat-2");
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toEqual(["POST /whip/room?as=seat-2"]);
    expect(FakeConnection.made[0]?.configured).toEqual([]);

    FakeConnection.old = true;
    servers = () => Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 600 }));
    await begun("seat-3");
    expect(asked.slice(1)).toEqual(["POST /whip/room?as=seat-3"]);
  });

  it("that is closed while it waits for them offers nothing", async () => {
    servers = () => new Promise(() => undefined);
    const leg = await begun("seat-4");
    const ended = leg.close();
    await vi.advanceTimersByTimeAsync(1_000);
    await ended;
    expect(asked).toEqual([]);
    expect(FakeConnection.made.map((one) => one.open)).toEqual([false]);
  });

  it("does not wait long for what a TURN server that is dead would find", async () => {
    servers = () => Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 600 }));
    const gathering = new Leg({
      path: "/whip/room?as=seat-5",
      prepare: (connection) => Object.assign(connection, { iceGatheringState: "gathering" }),
      onState: () => undefined,
    });
    await settled();
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked).toEqual(["POST /whip/room?as=seat-5"]);
    await gathering.close();
  });
});
