/** Answers of the HTTP API, named for the pages; made from the server's own document, so drift fails the type check. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Account = Schemas["Me"];
export type StationInfo = Schemas["StationShown"];
export type ReviewAnswer = Schemas["Review"];
/** The devices' numbers of a window in columns. */
export type TrendAnswer = Schemas["Trend"];
export type ConsultationInfo = Schemas["ConsultationShown"];
export type PatientInfo = Schemas["PatientBrief"];
export type ConsultationState = ConsultationInfo["state"];
export type Colleague = Schemas["Someone"];
export type PatientRecord = Schemas["PatientShown"];
export type PatientNew = Schemas["PatientNew"];
export type Identifier = Schemas["IdentifierNew"];
export type IdentifierCheck = Schemas["IdentifierChecked"];
export type ConsultationNew = Schemas["ConsultationNew"];
export type AttachmentInfo = Schemas["AttachmentShown"];
/** What was measured without a visit; `id` is the attachment's. */
export type IntervalInfo = Schemas["IntervalShown"];
export type TicketInfo = Schemas["TicketListed"];
export type TicketNew = Schemas["TicketNew"];
/** The only answer that ever holds the link. */
export type Invitation = Schemas["InvitationShown"];
export type NoteVersion = Schemas["NoteShown"];
export type Notes = Schemas["Notes"];
/** Who invites and when, before anybody has joined. */
export type TicketShown = Schemas["TicketShown"];
/** A visit as its guest sees it. */
export type VisitShown = Schemas["VisitShown"];
/** Where somebody is, for an ambulance and for when the line drops. */
export type PlaceShown = Schemas["PlaceShown"];
/** A confirmed line of chat. `n` counts from 1 without a hole; `line` is the author's own name for it. */
export type Line = Schemas["LineShown"];
export type SharedFile = Schemas["SharedFile"];
export type Origin = Schemas["StoredNumber"]["origin"];
/** One publication's recording; `began_us` is consultation time. */
export type Recording = Schemas["RecordingShown"];
