import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { rememberJoined } from "./joined";
import { Visit } from "./visit";

const TOKEN = "a-token-of-a-link";
const SEAT = "f2d34b0c-8e4e-4c3c-9f7a-0d6a4c1f2b11";
const ROOM = "37e582e6-7735-418c-a427-35dd45e7333f";

const shown = {
  role: "patient",
  organisation: { name: "Demo hospital", phone: "038 606 000" },
  clinician: "Demo clinician",
  scheduled_at: null,
  minutes: 30,
  state: "waiting",
  server_now: "2026-11-23T12:00:00Z",
  arrives_from: null,
  language: "bg",
};
const seated = {
  ...shown,
  consultation: ROOM,
  seat: SEAT,
  seat_state: "waiting",
  device: 1,
  position: 0,
  vitals_shared: false,
  recording_since: null,
  phone_since: null,
  name: null,
  consent: false,
  place: { address: "Demo street 1", phone: "" },
};

type Answer = readonly [number, object] | "none";

/** Answers in turn, the last one for ever; remembers what was asked. */
function server(...answers: Answer[]) {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    asked.push(`${init.method} ${path}`);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === undefined || answer === "none") throw new TypeError("Failed to fetch");
    return new Response(JSON.stringify(answer[1]), { status: answer[0] });
  });
  return asked;
}

class StillSocket {
  static made: string[] = [];
  readyState = 0;
  binaryType = "";
  constructor(readonly url: string) {
    StillSocket.made.push(url);
  }
  send(): void {}
  close(): void {}
}

describe("a visit comes back by itself", () => {
  const store = new Map<string, string>();
  let open: Visit[] = [];
  const visit = () => {
    const one = new Visit(TOKEN);
    open.push(one);
    return one;
  };
  const settled = () => vi.advanceTimersByTimeAsync(0);

  beforeEach(() => {
    vi.useFakeTimers();
    store.clear();
    StillSocket.made = [];
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => store.get(key) ?? null,
      setItem: (key: string, value: string) => store.set(key, value),
    });
    vi.stubGlobal("navigator", { languages: ["bg"] });
    vi.stubGlobal("location", { protocol: "http:", host: "127.0.0.1" });
    vi.stubGlobal("WebSocket", StillSocket);
  });
  afterEach(async () => {
    for (const one of open) await one.close();
    open = [];
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("a link that was never used only looks", async () => {
    const asked = server([200, shown]);
    const it = visit();
    await settled();
    expect(asked).toEqual(["POST /api/v1/visits/look"]);
    expect(it.stage.value).toBe("invitation");
    expect(StillSocket.made).toEqual([]);
  });

  it("a reload is back in the seat without a click", async () => {
    rememberJoined(TOKEN);
    const asked = server([201, seated]);
    const it = visit();
    await settled();
    expect(asked).toEqual(["POST /api/v1/visits"]);
    expect(it.stage.value).toBe("waiting");
    expect(StillSocket.made).toEqual([`ws://127.0.0.1/ws/consultations/${ROOM}?as=${SEAT}`]);
  });

  it("tries again until the server answers, within seconds of the line", async () => {
    rememberJoined(TOKEN);
    const asked = server("none", "none", [503, { error: { code: "database_unavailable" } }], [201, seated]);
    const it = visit();
    await settled();
    expect(it.noAnswer.value).toBe("no_connection");
    expect(it.stage.value).toBe("looking");
    await vi.advanceTimersByTimeAsync(5_000);
    // A socket that never opens is asked about later; the seat itself came with the fourth request.
    expect(asked.slice(0, 4)).toEqual(Array(4).fill("POST /api/v1/visits"));
    expect(asked.filter((request) => request === "POST /api/v1/visits")).toHaveLength(4);
    expect([it.noAnswer.value, it.stage.value]).toEqual([null, "waiting"]);
  });

  it.each(["ticket_unknown", "ticket_expired", "ticket_revoked", "visit_over", "seats_full", "seat_refused"])(
    "does not try again after %s",
    async (code) => {
      const status = code === "ticket_unknown" ? 404 : code === "seat_refused" ? 403 : 410;
      const asked = server([status, { error: { code, params: { state: "ended" } } }]);
      const it = visit();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(asked).toHaveLength(1);
      expect([it.stage.value, it.fault.value?.code]).toEqual(["fault", code]);
    },
  );

  it("stays refused when the link itself still leads to the visit", async () => {
    rememberJoined(TOKEN);
    const asked = server([403, { error: { code: "seat_refused", params: {} } }], [200, shown]);
    const it = visit();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toEqual(["POST /api/v1/visits", "POST /api/v1/visits/look"]);
    expect([it.stage.value, it.fault.value?.code]).toEqual(["fault", "seat_refused"]);
    expect(it.phone.value).toBe("038 606 000");
  });

  it("comes back after its goodbye was heard, however soon", async () => {
    const asked = server([201, seated]);
    const it = visit();
    await it.join("Demo patient 1");
    asked.length = 0;
    const { fetch } = globalThis;
    let heard = (): void => undefined;
    vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
      if (path.includes("/leave")) await new Promise<void>((resolve) => (heard = resolve));
      return fetch(path, init);
    });
    void it.leave();
    void it.join("Demo patient 1");
    await settled();
    expect(asked).toEqual([]);
    heard();
    await settled();
    expect(asked).toEqual([`POST /api/v1/visit/leave?as=${SEAT}`, "POST /api/v1/visits"]);
    expect(it.stage.value).toBe("waiting");
  });

  it("leaves for good, and comes back to the same seat when asked", async () => {
    const asked = server([201, seated]);
    const it = visit();
    await it.join("Demo patient 1");
    await it.leave();
    expect(asked.at(-1)).toBe(`POST /api/v1/visit/leave?as=${SEAT}`);
    expect([...store.values()].join("")).toBe("");
  });
});
