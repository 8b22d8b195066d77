import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

const TURN = { urls: ["turn:turn.example.org", "turns:turn.example.org:443"], username: "1:x", credential: "c" };

describe("TURN servers", () => {
  let iceServers: typeof import("./ice").iceServers;
  let questions: string[] = [];
  let reply: () => Promise<Response>;

  beforeEach(async () => {
    vi.useFakeTimers();
    vi.resetModules();
    ({ iceServers } = await import("./ice"));
    questions = [];
    reply = () => Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 600 }));
    vi.stubGlobal("fetch", (path: string) => {
      questions.push(path);
      return reply();
    });
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("are asked for by who makes the connection", async () => {
    for (const path of [
      "/whip/room?source=camera",
      "/whep/publication?as=seat&x=1",
      "/whip/checks/abc",
      "/whep/checks/abc",
    ]) {
      expect(await iceServers(path)).toEqual([TURN]);
    }
    expect(questions).toEqual(["/api/v1/ice-servers", "/api/v1/ice-servers?as=seat", "/api/v1/checks/abc/ice-servers"]);
  });

  it("are asked for once while they are good, by however many connections", async () => {
    await Promise.all([iceServers("/whip/a"), iceServers("/whep/b"), iceServers("/whep/c")]);
    await vi.advanceTimersByTimeAsync(539_000);
    await iceServers("/whep/d");
    expect(questions).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    await iceServers("/whep/e");
    expect(questions).toHaveLength(2);
  });

  it("are used for most of a short time as well", async () => {
    reply = () => Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 40 }));
    await iceServers("/whip/checks/abc");
    await vi.advanceTimersByTimeAsync(29_000);
    await iceServers("/whep/checks/abc");
    expect(questions).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    await iceServers("/whep/checks/abc");
    expect(questions).toHaveLength(2);
  });

  it("hold nobody up: a second at most, and the late answer is for the next", async () => {
    let late: (answer: Response) => void = () => undefined;
    reply = () => new Promise((resolve) => (late = resolve));
    const first = iceServers("/whip/a");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await first).toEqual([]);
    late(Response.json({ ice_servers: [TURN], seconds: 600 }));
    await vi.advanceTimersByTimeAsync(0);
    expect(await iceServers("/whip/a")).toEqual([TURN]);
    expect(questions).toHaveLength(1);
  });

  it.each([
    ["a refusal", () => Promise.resolve(new Response(null, { status: 403 }))],
    ["no line", () => Promise.reject(new TypeError("offline"))],
    ["a page instead", () => Promise.resolve(new Response("<html>"))],
    ["something else", () => Promise.resolve(Response.json({ ice_servers: {}, seconds: 600 }))],
    ["no time", () => Promise.resolve(Response.json({ ice_servers: [TURN] }))],
  ])("are gone without after %s, and not asked for again at once", async (_name, answer) => {
    reply = answer;
    expect(await iceServers("/whip/a")).toEqual([]);
    reply = () => Promise.resolve(Response.json({ ice_servers: [TURN], seconds: 600 }));
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await iceServers("/whip/a")).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await iceServers("/whip/a")).toEqual([TURN]);
    expect(questions).toHaveLength(2);
  });
});
