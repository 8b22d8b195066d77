/**
 * The TURN servers that the server names, and a credential for them, for connections that cannot reach it directly.
 *
 * A call never waits for them longer than WAIT_MS and never fails for want of them: most networks need none. An answer
 * that comes later is there for the next connection.
 */
import { call } from "../api/client";

export type IceServers = readonly RTCIceServer[];

/** What a connection waits at most: three round trips of a poor line. */
export const WAIT_MS = 1_000;
/** A question that is not answered in this time went over a line that is gone; the next connection asks anew. */
const ANSWER_MS = 5_000;
/** A credential is not used in the last part of its time: allocating takes a while, and more on a poor line. */
const MARGIN_MS = 60_000;
const MARGIN_SHARE = 0.25;
/** After a failure everybody goes without for this long, instead of waiting for it once more. */
export const FAILED_MS = 10_000;
/** Answers kept: of a sign-in, of a guest's seats, of checks that were made. */
const KEPT = 8;

interface Answer {
  readonly servers: IceServers;
  readonly untilMs: number;
}

const answers = new Map<string, Answer>();
const asking = new Map<string, Promise<IceServers>>();

/** Servers for the connection that is made at this path of ours (/whip/…, /whep/…); none when there is no answer. */
export function iceServers(path: string): Promise<IceServers> {
  const question = questionOf(path);
  const known = answers.get(question);
  if (known !== undefined && performance.now() < known.untilMs) return Promise.resolve(known.servers);
  let answer = asking.get(question);
  if (answer === undefined) {
    answer = ask(question).finally(() => asking.delete(question));
    asking.set(question, answer);
  }
  return inTime(answer);
}

/** Who asks for the connection asks for the servers: a check by its name, a guest by the seat, else the sign-in. */
function questionOf(path: string): string {
  const url = new URL(path, "http://here");
  const check = /^\/wh[ie]p\/checks\/([^/]+)$/.exec(url.pathname);
  if (check !== null) return `/api/v1/checks/${check[1]}/ice-servers`;
  const seat = url.searchParams.get("as");
  return seat === null ? "/api/v1/ice-servers" : `/api/v1/ice-servers?as=${encodeURIComponent(seat)}`;
}

/** Never rejects. */
async function ask(question: string): Promise<IceServers> {
  let found: Answer;
  try {
    const response = await call("GET", question, undefined, undefined, AbortSignal.timeout(ANSWER_MS));
    const { ice_servers: servers, seconds } = (await response.json()) as { ice_servers: IceServers; seconds: number };
    const goodMs = seconds * 1_000;
    found = { servers, untilMs: performance.now() + goodMs - Math.min(MARGIN_MS, goodMs * MARGIN_SHARE) };
    if (!Array.isArray(servers) || Number.isNaN(found.untilMs)) throw new TypeError("no list of servers");
  } catch {
    found = { servers: [], untilMs: performance.now() + FAILED_MS };
  }
  answers.delete(question);
  answers.set(question, found);
  for (const oldest of answers.keys()) {
    if (answers.size <= KEPT) break;
    answers.delete(oldest);
  }
  return found.servers;
}

function inTime(answer: Promise<IceServers>): Promise<IceServers> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve([]), WAIT_MS);
    void answer.then((servers) => {
      clearTimeout(timer);
      resolve(servers);
    });
  });
}
