/** What an operator's page knows of a station: who is connected to it, and which visits are expected there. */
import { effect, signal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import { type AttachmentInfo, type PatientRecord, staff } from "../api/staff";
import type { ConsultationInfo, StationInfo } from "../api/types";
import { workListChanged } from "../notices/notices";
import { noticeSignedOut } from "../parts/account";

/** Sensors that are off close an attachment without a word of the work list. */
const AGAIN_MS = 10_000;
const OPEN = ["scheduled", "waiting", "live", "interrupted"];

export interface Connected {
  readonly attachment: AttachmentInfo;
  readonly patient: PatientRecord | null;
}

export class StationDesk {
  readonly station = signal<StationInfo | null>(null);
  /** undefined until the server said; null when nobody is connected. */
  readonly connected = signal<Connected | null | undefined>(undefined);
  /** Open visits at this station, those that wait or go on first. */
  readonly visits = signal<readonly ConsultationInfo[]>([]);
  readonly fault = signal<ApiError | null>(null);
  readonly missing = signal(false);
  private closed = false;
  private turn = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly unfollow: () => void;

  constructor(readonly id: number) {
    this.unfollow = effect(() => {
      workListChanged.value;
      void this.refresh();
    });
  }

  close(): void {
    this.closed = true;
    this.unfollow();
    clearTimeout(this.timer);
  }

  async refresh(): Promise<void> {
    const turn = ++this.turn;
    clearTimeout(this.timer);
    try {
      const [stations, attachments, consultations] = await Promise.all([
        api.stations(),
        staff.attachments(this.id),
        api.consultations(),
      ]);
      const attachment = attachments.find((one) => one.closed_at === null);
      const patient = attachment === undefined ? null : await this.patientOf(attachment);
      if (this.closed || turn !== this.turn) return;
      this.station.value = stations.find((one) => one.id === this.id) ?? null;
      this.missing.value = this.station.value === null;
      this.connected.value = attachment === undefined ? null : { attachment, patient };
      this.visits.value = expectedAt(consultations, this.id);
      this.fault.value = null;
    } catch (error) {
      if (this.closed || turn !== this.turn) return;
      if (!noticeSignedOut(error) && error instanceof ApiError) {
        this.missing.value = error.status === 404;
        this.fault.value = error;
      }
    }
    if (!this.closed) this.timer = setTimeout(() => void this.refresh(), AGAIN_MS);
  }

  private async patientOf(attachment: AttachmentInfo): Promise<PatientRecord | null> {
    const known = this.connected.peek();
    if (known != null && known.attachment.id === attachment.id && known.patient !== null) return known.patient;
    return staff.patient(attachment.patient_id).catch(() => null);
  }
}

/** The open visits at a station: under way first, then those that wait, then appointments by time. */
export function expectedAt(consultations: readonly ConsultationInfo[], station: number): ConsultationInfo[] {
  const rank = (one: ConsultationInfo) => (one.state === "scheduled" ? 2 : one.state === "waiting" ? 1 : 0);
  const time = (one: ConsultationInfo) => Date.parse(one.scheduled_at ?? one.created_at);
  return consultations
    .filter((one) => one.station?.id === station && OPEN.includes(one.state))
    .sort((a, b) => rank(a) - rank(b) || time(a) - time(b));
}

/** The visit that an attachment of this patient belongs to; null when none waits or goes on. */
export function visitOf(visits: readonly ConsultationInfo[], patient: string): string | null {
  const mine = visits.filter((one) => one.patient.id === patient);
  return (mine.find((one) => one.state !== "scheduled") ?? mine[0])?.id ?? null;
}
