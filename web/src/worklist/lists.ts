/**
 * The work list and the stations as this page knows them. Asked anew when the server says that something changed;
 * otherwise seldom while its word can be heard, and often while it cannot.
 */
import { effect, signal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import type { ConsultationInfo, StationInfo } from "../api/types";
import { connected, workListChanged } from "../notices/notices";
import { noticeSignedOut } from "../parts/account";

/** Stations come and go without a word of the work list. */
const SELDOM_MS = 15_000;
const OFTEN_MS = 3_000;

export class WorkLists {
  readonly consultations = signal<readonly ConsultationInfo[] | null>(null);
  readonly stations = signal<readonly StationInfo[]>([]);
  readonly fault = signal<ApiError | null>(null);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private asking = false;
  private askAgain = false;
  private readonly unfollow: () => void;

  constructor() {
    this.unfollow = effect(() => {
      workListChanged.value;
      connected.value;
      void this.refresh();
    });
  }

  close(): void {
    this.closed = true;
    this.unfollow();
    clearTimeout(this.timer);
  }

  /** Ask now; while an answer is awaited, once more after it. */
  async refresh(): Promise<void> {
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    clearTimeout(this.timer);
    try {
      const [consultations, stations] = await Promise.all([api.consultations(), api.stations()]);
      if (this.closed) return;
      this.consultations.value = consultations;
      this.stations.value = stations;
      this.fault.value = null;
    } catch (error) {
      if (!this.closed && !noticeSignedOut(error) && error instanceof ApiError) this.fault.value = error;
    } finally {
      this.asking = false;
    }
    if (this.closed) return;
    const soon = this.askAgain;
    this.askAgain = false;
    this.timer = setTimeout(() => void this.refresh(), soon ? 0 : connected.peek() ? SELDOM_MS : OFTEN_MS);
  }
}
