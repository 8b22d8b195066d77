/** The HTTP API. Every refusal becomes an ApiError with the server's stable code; no answer at all is `no_connection`. */
import type { ErrorBody } from "../protocol/messages";
import type { Account, ConsultationInfo, ReviewAnswer, StationInfo } from "./types";

const ROOT = "/api/v1";
const WAIT_MS = 15_000;

export class ApiError extends Error {
  constructor(
    readonly code: string,
    readonly params: Readonly<Record<string, string | number>>,
    readonly status: number,
  ) {
    super(code);
  }
}

let signInEnds = (): void => undefined;

/** Call `act` whenever an answer says that nobody is signed in (any more). */
export function whenSignInEnds(act: () => void): void {
  signInEnds = act;
}

export async function call(
  method: string,
  path: string,
  body?: BodyInit,
  contentType = "application/json",
  signal: AbortSignal = AbortSignal.timeout(WAIT_MS),
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      ...(body === undefined ? { headers } : { body, headers: { ...headers, "Content-Type": contentType } }),
      signal,
    });
  } catch {
    throw new ApiError("no_connection", {}, 0);
  }
  // 304 only answers whoever asked with If-None-Match.
  if (response.ok || response.status === 304) return response;
  const refused = await refusal(response);
  // A request for a guest's seat (as=) says nothing of the sign-in.
  const guest = path.includes("as=");
  if (!guest && refused.status === 401 && refused.code === "not_signed_in") signInEnds();
  throw refused;
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as { error: ErrorBody };
    return new ApiError(error.code, error.params ?? {}, response.status);
  } catch {
    return new ApiError(response.status >= 500 ? "internal_error" : "invalid_request", {}, response.status);
  }
}

export async function json<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await call(method, ROOT + path, body === undefined ? undefined : JSON.stringify(body));
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError("no_connection", {}, 0); // The line broke, or the wait ended, in the middle of the answer.
  }
}

export const api = {
  signIn: (login: string, password: string) => json<Account>("POST", "/sign-in", { login, password }),
  signOut: async () => void (await call("DELETE", `${ROOT}/sign-in`)),
  me: () => json<Account>("GET", "/me"),
  setLanguage: async (language: string) => void (await json<unknown>("PATCH", "/me", { language })),
  stations: async () => (await json<{ stations: StationInfo[] }>("GET", "/stations")).stations,
  consultations: async () => (await json<{ consultations: ConsultationInfo[] }>("GET", "/consultations")).consultations,
  consultation: (id: string) => json<ConsultationInfo>("GET", `/consultations/${id}`),
  admit: (id: string) => json<ConsultationInfo>("POST", `/consultations/${id}/admit`),
  end: (id: string) => json<ConsultationInfo>("POST", `/consultations/${id}/end`),
  review: (id: string) => json<ReviewAnswer>("GET", `/consultations/${id}/review`),
  /** WHIP and WHEP: the offer goes, the answer and the address of the session come back; `signal` gives it up. */
  sdp: async (
    path: string,
    offer: string,
    signal: AbortSignal,
  ): Promise<{ answer: string; session: string | null }> => {
    const response = await call("POST", path, offer, "application/sdp", signal);
    return { answer: await response.text(), session: response.headers.get("Location") };
  },
  /** Resolves when the server has ended the session, or cannot be asked. */
  endSession: async (path: string): Promise<void> => {
    const signal = AbortSignal.timeout(WAIT_MS);
    await fetch(path, { method: "DELETE", keepalive: true, signal }).catch(() => undefined);
  },
};
