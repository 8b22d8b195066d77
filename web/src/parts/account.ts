/** Who is signed in on this page: undefined while that is asked, null when nobody is. */
import { signal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import type { Account } from "../api/types";
import { chooseLanguage, type Language, language, languageIsOpen } from "../i18n";
import { zone } from "../i18n/numbers";

const ASK_AGAIN_MS = 2_000;

export const account = signal<Account | null | undefined>(undefined);

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
    if (error instanceof ApiError && error.status === 401) account.value = null;
    else setTimeout(() => void findAccount(), ASK_AGAIN_MS);
  }
}

/** A refusal that means the sign-in is over leads back to the sign-in page; true when it was one. */
export function noticeSignedOut(error: unknown): boolean {
  if (!(error instanceof ApiError) || error.status !== 401) return false;
  account.value = null;
  return true;
}

/** Show this language and, when somebody is signed in, remember it with the account. */
export function switchLanguage(chosen: Language): void {
  chooseLanguage(chosen);
  if (account.value) void api.setLanguage(chosen).catch(() => undefined);
}

export async function signOut(): Promise<void> {
  await api.signOut().catch(() => undefined);
  account.value = null;
}
