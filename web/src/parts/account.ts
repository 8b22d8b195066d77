/** Who is signed in on this page: undefined while that is asked, null when nobody is. */
import { signal } from "@preact/signals";
import { ApiError, api, whenSignInEnds } from "../api/client";
import type { Account } from "../api/types";
import { chooseLanguage, type Language, language, languageIsOpen } from "../i18n";
import { zone } from "../i18n/numbers";

const ASK_AGAIN_MS = 2_000;
/** Signing out waits no longer than this for what has to end first. */
const LEAVE_MS = 3_000;

export const account = signal<Account | null | undefined>(undefined);

const endings = new Set<() => Promise<void>>();

/** The sign-in is over, wherever it ended: every page gives way to the sign-in form. */
export function signInEnded(): void {
  account.value = null;
}

whenSignInEnds(signInEnded);

/** Do this before the sign-in ends, while the server still listens to this page; the answer takes it back. */
export function beforeSignOut(end: () => Promise<void>): () => void {
  endings.add(end);
  return () => void endings.delete(end);
}

export function signedIn(who: Account): void {
  if (languageIsOpen()) language.value = who.language;
  zone.value = who.organisation.zone;
  account.value = who;
}

/** Ask the server; while it does not answer, ask again. */
export async function findAccount(): Promise<void> {
  try {
    signedIn(await api.me());
  } catch (error) {
    if (!noticeSignedOut(error)) setTimeout(() => void findAccount(), ASK_AGAIN_MS);
  }
}

/** A refusal that means the sign-in is over leads back to the sign-in page; true when it was one. */
export function noticeSignedOut(error: unknown): boolean {
  if (!(error instanceof ApiError) || error.status !== 401) return false;
  signInEnded();
  return true;
}

/** Show this language and, when somebody is signed in, remember it with the account. */
export function switchLanguage(chosen: Language): void {
  chooseLanguage(chosen);
  if (account.value) void api.setLanguage(chosen).catch(() => undefined);
}

/** End what this page holds at the server (camera, call), then the sign-in. */
export async function signOut(): Promise<void> {
  const patience = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_MS));
  await Promise.race([Promise.all([...endings].map((end) => end())), patience]);
  await api.signOut().catch(() => undefined);
  signInEnded();
}
