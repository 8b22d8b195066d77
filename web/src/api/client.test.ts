import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, api, whenSignInEnds } from "./client";

afterEach(() => vi.unstubAllGlobals());

const answer = (status: number, code: string) =>
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ error: { code, params: {} } }), { status }));

describe("a refusal", () => {
  it("that nobody is signed in is told to the page at once; a wrong password is not", async () => {
    let ended = 0;
    whenSignInEnds(() => ended++);
    answer(401, "bad_credentials");
    await expect(api.signIn("someone", "wrong")).rejects.toBeInstanceOf(ApiError);
    expect(ended).toBe(0);
    answer(401, "not_signed_in");
    await expect(api.consultations()).rejects.toMatchObject({ code: "not_signed_in", status: 401 });
    await expect(api.sdp("/whip/room", "v=0", AbortSignal.timeout(1_000))).rejects.toMatchObject({ status: 401 });
    expect(ended).toBe(2);
  });
});
