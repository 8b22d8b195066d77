/** Answers of the HTTP API, named for the pages; made from the server's own document, so drift fails the type check. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Account = Schemas["Me"];
export type StationInfo = Schemas["StationShown"];
export type ReviewAnswer = Schemas["Review"];
export type ConsultationInfo = Schemas["ConsultationShown"];
export type PatientInfo = Schemas["PatientBrief"];
export type ConsultationState = ConsultationInfo["state"];
export type Origin = Schemas["StoredNumber"]["origin"];
