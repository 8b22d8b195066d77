/** The staff's side of a visit over HTTP: appointments, patients, invitations, who is connected, notes. */
import type { GuestRole } from "../protocol/people";
import { call, json } from "./client";
import type {
  AttachmentInfo,
  Colleague,
  ConsultationInfo,
  ConsultationNew,
  Identifier,
  IdentifierCheck,
  IntervalInfo,
  Invitation,
  Line,
  Notes,
  NoteVersion,
  PatientNew,
  PatientRecord,
  PlaceShown,
  TicketInfo,
  TicketNew,
} from "./types";

export const INVITED_ROLES: readonly GuestRole[] = ["patient", "relative", "interpreter", "second_clinician"];

export type {
  AttachmentInfo,
  Colleague,
  Identifier,
  IdentifierCheck,
  Invitation,
  NoteVersion,
  PatientNew,
  PatientRecord,
  TicketInfo,
  TicketNew,
};

const CHAT_PAGE = 500;
const of = (id: string, rest: string) => `/consultations/${id}${rest}`;
const step = (id: string, what: string, body?: object) => json<ConsultationInfo>("POST", of(id, `/${what}`), body);
const said = async (method: string, path: string, body?: object): Promise<void> =>
  void (await call(method, `/api/v1${path}`, body === undefined ? undefined : JSON.stringify(body)));

export const staff = {
  create: (wanted: ConsultationNew) => json<ConsultationInfo>("POST", "/consultations", wanted),
  move: (id: string, scheduledAt: string, minutes: number) => step(id, "move", { scheduled_at: scheduledAt, minutes }),
  arrive: (id: string) => step(id, "arrive"),
  miss: (id: string) => step(id, "miss"),
  cancel: (id: string) => step(id, "cancel"),
  phone: (id: string, on: boolean) => step(id, "phone", { on }),
  place: (id: string) => json<PlaceShown>("GET", of(id, "/place")),
  setPlace: (id: string, place: PlaceShown) => json<PlaceShown>("PUT", of(id, "/place"), place),
  colleagues: async () => (await json<{ colleagues: Colleague[] }>("GET", "/colleagues")).colleagues,

  patients: async (words: string) =>
    (await json<{ patients: PatientRecord[] }>("GET", `/patients?q=${encodeURIComponent(words)}`)).patients,
  patient: (id: string) => json<PatientRecord>("GET", `/patients/${id}`),
  createPatient: (person: PatientNew) => json<PatientRecord>("POST", "/patients", person),
  merge: (id: string, into: string, reason: string) => said("POST", `/patients/${id}/merge`, { into, reason }),
  checkIdentifier: (system: string, value: string) =>
    json<IdentifierCheck>("POST", "/identifiers/check", { system, value }),

  attachments: async (station: number) =>
    (await json<{ attachments: AttachmentInfo[] }>("GET", `/attachments?station_id=${station}`)).attachments,
  attach: (station: number, patient: string, consultation: string | null) =>
    json<AttachmentInfo>("POST", "/attachments", {
      station_id: station,
      patient_id: patient,
      consultation_id: consultation,
    }),
  unvisited: async () => (await json<{ intervals: IntervalInfo[] }>("GET", "/attachments/unvisited")).intervals,
  makeVisit: (id: string, clinician: string) =>
    json<ConsultationInfo>("POST", `/attachments/${id}/visit`, { clinician_id: clinician }),
  detach: (id: string) => json<AttachmentInfo>("POST", `/attachments/${id}/close`),

  tickets: async (id: string) => (await json<{ tickets: TicketInfo[] }>("GET", of(id, "/tickets"))).tickets,
  invite: (id: string, wanted: TicketNew) => json<Invitation>("POST", of(id, "/tickets"), wanted),
  revoke: (id: string, ticket: string) => said("DELETE", of(id, `/tickets/${ticket}`)),

  notes: (id: string) => json<Notes>("GET", of(id, "/notes")),
  saveDraft: (id: string, text: string) => said("PUT", of(id, "/draft"), { text }),
  sign: (id: string, text: string) => said("POST", of(id, "/sign"), { text }),
  amend: (id: string, text: string, reason: string) => said("POST", of(id, "/amend"), { text, reason }),
  /** Every line of the visit's chat. */
  chat: async (id: string): Promise<Line[]> => {
    const lines: Line[] = [];
    for (;;) {
      const after = lines.at(-1)?.n ?? 0;
      const { lines: more } = await json<{ lines: Line[] }>("GET", of(id, `/chat?after=${after}&limit=${CHAT_PAGE}`));
      lines.push(...more);
      if (more.length < CHAT_PAGE) return lines;
    }
  },
  setOrganisationPhone: (phone: string) => said("PATCH", "/organisation", { phone }),
};
