/**
 * Who waits for the person signed in here, on whatever page: told by the server's notices socket, heard as two notes,
 * seen in the tab's title, the bell and (if allowed) the browser's own notification. It ends when everyone was let in.
 */
import { computed, effect, signal } from "@preact/signals";
import { t } from "../i18n";
import { account, beforeSignOut } from "../parts/account";
import { addressOf, place } from "../router";
import { NoticesSocket } from "./socket";
import { chime, wakeWithFirstTouch } from "./sound";
import { keyOf, newsOf, type Waiting } from "./waiting";
import { sentenceOf } from "./words";

/** While somebody waits and nobody is being talked to, the notes come again this often. */
const AGAIN_MS = 30_000;

const told = signal<readonly Waiting[]>([]);
/** Counts the server's word that the work list changed. */
export const workListChanged = signal(0);
export const connected = signal(false);
/** The newest news, as a sentence for the live region; empty when it was dealt with. */
export const spoken = signal("");
const newest = signal<Waiting | null>(null);

/** The visit that this page is in. */
const inside = computed(() => {
  const here = place.value;
  return here.page === "live" || here.page === "desk" ? here.id : null;
});

export const waiting = computed(() => newsOf(new Set(), told.value, inside.value).waiting);

/** Who came last, while they wait and were neither opened nor put aside on this page. */
export const latest = computed(() => {
  const one = newest.value;
  return one !== null && waiting.value.some((other) => keyOf(other) === keyOf(one)) ? one : null;
});

const known = new Set<string>();
let socket: NoticesSocket | null = null;
let again: ReturnType<typeof setInterval> | undefined;

/** Follow the sign-in: notices begin with it and end with it. Call once. */
export function followNotices(): void {
  effect(() => {
    const who = account.value;
    const staff = who?.roles.some((role) => role === "clinician" || role === "operator");
    if (staff && socket === null) begin();
    else if (!staff && socket !== null) end();
  });
  beforeSignOut(async () => end());
}

/** What `latest` asks for is dealt with, or is not wanted to be seen. */
export function putAside(): void {
  newest.value = null;
  spoken.value = "";
}

function begin(): void {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new NoticesSocket(`${scheme}://${location.host}/ws/notices`, {
    onConnected: (now) => {
      connected.value = now;
    },
    onWaiting: hear,
    onWorkList: () => {
      workListChanged.value++;
    },
  });
  socket.start();
  wakeWithFirstTouch();
  again = setInterval(() => {
    if (waiting.value.length > 0 && inside.value === null) chime();
  }, AGAIN_MS);
}

function end(): void {
  socket?.close();
  socket = null;
  clearInterval(again);
  connected.value = false;
  told.value = [];
  known.clear();
  putAside();
}

function hear(list: readonly Waiting[]): void {
  const { fresh } = newsOf(known, list, inside.value);
  told.value = list;
  known.clear();
  for (const one of list) known.add(keyOf(one));
  workListChanged.value++;
  if (latest.value === null) putAside();
  const last = fresh.at(-1);
  if (last === undefined) return;
  newest.value = last;
  spoken.value = sentenceOf(last);
  chime();
  notify(last);
}

/** The browser's own notification, only while the page is not in front, and without anybody's name: it shows on locked screens. */
function notify(one: Waiting): void {
  if (typeof Notification === "undefined" || Notification.permission !== "granted" || document.hasFocus()) return;
  const notice = new Notification(t("notices.somebody_waits"), {
    body: one.station ?? t("notices.by_link"),
    tag: `telemed ${one.consultation}`,
  });
  notice.onclick = () => {
    focus();
    location.hash = addressOf({ page: "worklist" });
    notice.close();
  };
}
