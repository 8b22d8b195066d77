/** What a refusal means for the person at the link. Pure. */

/** The answer to these is the same however often one asks. */
const FINAL: ReadonlySet<string> = new Set([
  "visit_over",
  "ticket_expired",
  "ticket_revoked",
  "ticket_unknown",
  "seat_refused",
]);

/** Whether loading the page anew can help. */
export const helpsAgain = (code: string): boolean => !FINAL.has(code);
