/** Recordings over HTTP: the switch, the consent that it needs, what was recorded, and where its bytes are. */
import { call, json } from "./client";
import type { ConsultationInfo, Recording } from "./types";

/** The words of `recording.ask_*`: whoever changes what they say gives them the next number. */
export const RECORDING_VERSION = "recording-1";

export const recordings = {
  turn: (id: string, on: boolean) => json<ConsultationInfo>("POST", `/consultations/${id}/recording`, { on }),
  consent: async (info: ConsultationInfo, given: boolean, language: string): Promise<void> => {
    const said = {
      purpose: "recording",
      given,
      version: RECORDING_VERSION,
      language,
      given_by: "patient",
      consultation_id: info.id,
    };
    await call("POST", `/api/v1/patients/${info.patient.id}/consents`, JSON.stringify(said));
  },
  of: async (id: string) =>
    (await json<{ recordings: Recording[] }>("GET", `/consultations/${id}/recordings`)).recordings,
  address: (recording: string) => `/api/v1/recordings/${recording}`,
};
