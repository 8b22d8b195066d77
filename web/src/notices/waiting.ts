/** Who waits, as the server tells it, and what of it is news here. Pure. */

/** One patient in a waiting consultation (`visit`) or one guest at the door of a consultation (`seat`). */
export interface Waiting {
  readonly consultation: string;
  readonly kind: "visit" | "seat";
  readonly patient: string | null;
  readonly role: string;
  readonly since: string;
  readonly station: string | null;
}

export interface News {
  /** Everybody who waits for this person, longest first; nobody of a visit that is open on this page. */
  readonly waiting: readonly Waiting[];
  /** Those of them who were not there before. */
  readonly fresh: readonly Waiting[];
}

/** One waiting person's own name; the same person that waits again later has another. */
export const keyOf = (one: Waiting): string => `${one.kind} ${one.consultation} ${one.role} ${one.since}`;

/** What is shown and what is new, given who was known before and the visit that this page is in (null: in none). */
export function newsOf(known: ReadonlySet<string>, told: readonly Waiting[], inside: string | null): News {
  const waiting = told
    .filter((one) => one.consultation !== inside)
    .sort((a, b) => Date.parse(a.since) - Date.parse(b.since) || keyOf(a).localeCompare(keyOf(b)));
  return { waiting, fresh: waiting.filter((one) => !known.has(keyOf(one))) };
}

/** The title of the browser's tab: "(2) Telemed" while two wait. */
export function titleWith(count: number, title: string): string {
  return count > 0 ? `(${count}) ${title}` : title;
}

/** The message of the notices socket, or null when it is none of ours. */
export function parseNotice(text: string): { type: "waiting"; waiting: Waiting[] } | { type: string } | null {
  try {
    const value = JSON.parse(text) as { type?: unknown; waiting?: unknown };
    if (typeof value?.type !== "string") return null;
    if (value.type !== "waiting") return { type: value.type };
    return Array.isArray(value.waiting) ? { type: "waiting", waiting: value.waiting as Waiting[] } : null;
  } catch {
    return null;
  }
}
