/** What a guest asks of the server: look at a link, join, leave, consent, place; and the call check of anybody. */
import { call, json } from "./client";
import type { PlaceShown, TicketShown, VisitShown } from "./types";

export type { TicketShown };

/** The words of `consent.*`: whoever changes what they say gives them the next number. */
export const CONSENT_VERSION = "care-3";

const as = (seat: string): string => `?as=${seat}`;

export const visits = {
  look: (ticket: string) => json<TicketShown>("POST", "/visits/look", { ticket }),
  join: (ticket: string, name: string | null, language: string) =>
    json<VisitShown>("POST", "/visits", { ticket, name, language }),
  read: (seat: string) => json<VisitShown>("GET", `/visit${as(seat)}`),
  leave: (seat: string) => json<VisitShown>("POST", `/visit/leave${as(seat)}`),
  consent: (seat: string, given: boolean, language: string) =>
    json<VisitShown>("POST", `/visit/consent${as(seat)}`, { given, version: CONSENT_VERSION, language }),
  place: (seat: string, where: PlaceShown) => json<VisitShown>("PUT", `/visit/place${as(seat)}`, where),
};

export const checks = {
  begin: () => json<{ check: string; seconds: number }>("POST", "/checks"),
  end: async (check: string): Promise<void> => {
    await call("DELETE", `/api/v1/checks/${check}`).catch(() => undefined); // it ends by itself too
  },
};
