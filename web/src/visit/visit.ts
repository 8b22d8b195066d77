/**
 * One person's visit on this page: the link, the seat it gives, the room behind it. No DOM.
 *
 * Whatever fails for a moment is tried again by itself: a reload, a line that comes back, a server that starts anew and a
 * machine that wakes up all end in the same seat without a click.
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { ApiError } from "../api/client";
import { type TicketShown, visits } from "../api/guests";
import { OwnDevice } from "../check/device";
import type { Outcomes } from "../check/outcomes";
import { language, languageIsOpen } from "../i18n";
import { now } from "../parts/ticking";
import { Backoff } from "../protocol/backoff";
import type { PlaceShown, VisitShown } from "../protocol/people";
import { RoomCall } from "../room/call";
import { RoomConnection } from "../room/connection";
import { LineWatch } from "../room/line";
import { onWake } from "../room/wake";
import { ServerTime } from "./countdown";
import { forgetJoined, joinedBefore, rememberJoined } from "./joined";
import { endOf, isEarly, stageOf } from "./stage";
import { GuestVitals } from "./vitals";

export const NAME_MOST = 120;
/** While somebody waits before the door the appointment may be moved or cancelled. */
const LOOK_AGAIN_MS = 20_000;
/** Refusals that the same request will not get over. */
const LASTING = new Set([400, 403, 404, 409, 410, 413, 422]);

export interface Fault {
  readonly code: string;
  readonly params: Readonly<Record<string, string | number>>;
}

export class Visit {
  readonly ticket = signal<TicketShown | null>(null);
  /** What the server last said of the seat; null before there is one. */
  readonly seat = signal<VisitShown | null>(null);
  readonly fault = signal<Fault | null>(null);
  /** Asked again by itself just now: no answer came. */
  readonly noAnswer = signal<string | null>(null);
  readonly joining = signal(false);
  readonly checking = signal(false);
  /** What a finished check on this page came to; null before one. */
  readonly checked = signal<Outcomes | null>(null);
  /** Asked for the consent on this page, and put off or taken back. */
  readonly consentPutOff = signal(false);
  readonly placeSkipped = signal(false);
  readonly room = signal<RoomConnection | null>(null);
  readonly call = signal<RoomCall | null>(null);
  readonly line = signal<LineWatch | null>(null);
  readonly vitals = signal<GuestVitals | null>(null);
  /** Neither camera nor microphone is wanted. */
  readonly listenOnly = signal(false);
  /** Asked for while one waits; in the call the call has its own. */
  readonly camera = new OwnDevice("camera");
  readonly microphone = new OwnDevice("microphone");
  readonly time = new ServerTime();
  readonly phone = computed(() => this.seat.value?.organisation.phone ?? this.ticket.value?.organisation.phone);
  readonly organisation = computed(() => (this.seat.value ?? this.ticket.value)?.organisation.name);
  readonly stage = computed(() => {
    now.value;
    return stageOf({
      ticket: this.ticket.value,
      visit: this.seat.value,
      fault: this.fault.value?.code ?? null,
      joining: this.joining.value,
      checking: this.checking.value,
      placeSkipped: this.placeSkipped.value,
      elsewhere: this.room.value?.elsewhere.value ?? false,
      nowMs: this.time.now(),
    });
  });
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly endings: (() => void)[] = [];
  private roomEndings: (() => void)[] = [];
  private name: string | null = null;
  private doorTried = false;
  /** Leaving is told to the server; who comes back at once is heard after it, or coming would be undone. */
  private goodbye: Promise<unknown> = Promise.resolve();
  private looking = false;
  private again: (() => void) | null = null;
  private closed = false;

  constructor(private readonly token: string) {
    this.endings.push(
      onWake(() => this.wake()),
      effect(() => {
        now.value;
        untracked(() => this.doorOpens());
      }),
    );
    if (joinedBefore(token)) void this.join(null);
    else void this.look();
  }

  /** Take the seat. The same browser gets the same one, any number of times. */
  async join(name: string | null): Promise<void> {
    this.name = name?.trim().slice(0, NAME_MOST) || null;
    this.joining.value = true;
    this.fault.value = null;
    clearTimeout(this.timer);
    await this.goodbye;
    try {
      const shown = await visits.join(this.token, this.name, language.value);
      if (this.closed) return;
      this.answered();
      rememberJoined(this.token);
      this.learn(shown);
      this.openRoom(shown);
      this.joining.value = false;
    } catch (error) {
      this.failed(error, () => void this.join(this.name));
      // Who invites is told with the refusal where it can be.
      if (this.fault.value !== null && this.ticket.value === null) void this.look(true);
    }
  }

  /** Leave for now; the link leads back. */
  async leave(): Promise<void> {
    const seat = this.seat.value;
    forgetJoined(this.token);
    this.closeRoom(true);
    this.joining.value = false;
    if (seat === null) return;
    this.seat.value = { ...seat, seat_state: "left" };
    this.goodbye = this.say(() => visits.leave(seat.seat));
    await this.goodbye;
  }

  /** Agree, or take it back. */
  consent(given: boolean): Promise<boolean> {
    return this.say((seat) => visits.consent(seat, given, language.value));
  }

  /** Say where one is. True when the server has it. */
  async tellPlace(where: PlaceShown): Promise<boolean> {
    return this.say((seat) => visits.place(seat, where));
  }

  /** Listen without camera and microphone, or with them again. */
  setListenOnly(only: boolean): void {
    this.listenOnly.value = only;
    if (only) {
      this.camera.release();
      this.microphone.release();
    }
    this.call.value?.setListenOnly(only);
  }

  /** Everything here is over; resolves when the server has ended the call too. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    for (const end of this.endings) end();
    const ended = this.closeRoom(false);
    this.camera.close();
    this.microphone.close();
    await ended;
  }

  /** Ask who invites; has no effect at the server. `quiet`: for the words on a page that stands already. */
  private async look(quiet = false): Promise<void> {
    clearTimeout(this.timer);
    this.looking = true;
    try {
      const shown = await visits.look(this.token);
      if (this.closed) return;
      // A quiet look only adds words to a refusal that stands.
      if (!quiet) this.answered();
      this.time.learn(shown.server_now);
      if (this.ticket.value === null && languageIsOpen()) language.value = shown.language;
      this.ticket.value = shown;
      if (!quiet && this.seat.value === null) this.timer = setTimeout(() => void this.look(), LOOK_AGAIN_MS);
    } catch (error) {
      if (!quiet) this.failed(error, () => void this.look());
      else if (!(error instanceof ApiError)) throw error;
    } finally {
      this.looking = false;
    }
  }

  private answered(): void {
    this.backoff.reset();
    this.noAnswer.value = null;
    this.fault.value = null;
  }

  private failed(error: unknown, again: () => void): void {
    if (!(error instanceof ApiError)) throw error;
    if (this.closed) return;
    if (LASTING.has(error.status)) {
      this.joining.value = false;
      this.noAnswer.value = null;
      this.fault.value = { code: error.code, params: error.params };
      return;
    }
    this.noAnswer.value = error.code;
    this.timer = setTimeout(again, error.code === "too_many_attempts" ? waitOf(error) : this.backoff.next());
    this.again = again;
  }

  /** The network is back, or the page woke up: ask at once, and take the time anew. */
  private wake(): void {
    this.time.forget();
    if (this.noAnswer.value !== null && this.again !== null) {
      clearTimeout(this.timer);
      this.backoff.reset();
      this.again();
    } else if (this.seat.value !== null) void this.read();
    else if (this.fault.value === null && !this.joining.value && !this.looking) void this.look();
  }

  private learn(shown: VisitShown): void {
    this.time.learn(shown.server_now);
    this.seat.value = shown;
    if (endOf(shown.state) !== null || shown.seat_state === "removed" || shown.seat_state === "refused") {
      this.closeRoom(true);
    }
  }

  /** When the door of the appointment opens the seat joins again, which brings it into the queue. */
  private doorOpens(): void {
    const shown = this.seat.value;
    const nowMs = this.time.now();
    if (shown === null || nowMs === null || shown.state !== "scheduled" || shown.seat_state === "left") return;
    if (isEarly(shown.state, shown.arrives_from, nowMs)) this.doorTried = false;
    else if (!this.doorTried && !this.joining.value) {
      this.doorTried = true;
      void this.join(this.name);
    }
  }

  private openRoom(shown: VisitShown): void {
    const open = this.room.value;
    if (open !== null && open.as === shown.seat && open.socketState.value !== "refused") return;
    this.closeRoom(false);
    if (endOf(shown.state) !== null) return;
    const vitals = new GuestVitals((stream, view) => this.room.value?.watch(stream, view));
    const room = new RoomConnection(shown.consultation, shown.seat, {
      onMessage: (message) => vitals.message(message),
      onFrame: (frame) => vitals.frame(frame),
    });
    this.room.value = room;
    this.vitals.value = vitals;
    this.roomEndings = [
      effect(() => {
        const told = room.visit.value;
        if (told !== null) untracked(() => this.learn(told));
      }),
      effect(() => {
        const state = room.socketState.value;
        // A socket that is refused at its door is not told why: the API says.
        if (state === "lost" || state === "refused") untracked(() => void this.read());
      }),
      effect(() => {
        if (room.inCall.value) untracked(() => this.enterCall(room));
      }),
    ];
  }

  private enterCall(room: RoomConnection): void {
    this.checking.value = false;
    this.camera.release();
    this.microphone.release();
    if (this.call.value !== null) return;
    const call = new RoomCall(room, { listenOnly: this.listenOnly.value });
    this.call.value = call;
    this.line.value = new LineWatch(room, call);
  }

  private closeRoom(forget: boolean): Promise<void> {
    for (const end of this.roomEndings) end();
    this.roomEndings = [];
    const { room, call, line } = this;
    line.value?.close();
    line.value = null;
    const ended = call.value?.close() ?? Promise.resolve();
    call.value = null;
    this.vitals.value = null;
    if (forget) room.value?.forget();
    else room.value?.close();
    room.value = null;
    return ended;
  }

  /** Ask how the seat stands. Without its cookie the link is used anew. */
  private async read(): Promise<void> {
    const seat = this.seat.value;
    if (seat === null) return;
    try {
      const shown = await visits.read(seat.seat);
      if (!this.closed && this.seat.value?.seat === shown.seat && this.seat.value.seat_state !== "left") {
        this.learn(shown);
        if (this.room.value?.socketState.value === "refused") this.openRoom(shown);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.closed || this.seat.value?.seat_state === "left") return;
      if (error.status === 401) void this.join(this.name);
      else if (LASTING.has(error.status)) {
        this.fault.value = { code: error.code, params: error.params };
        this.closeRoom(true);
      }
    }
  }

  private async say(act: (seat: string) => Promise<VisitShown>): Promise<boolean> {
    const seat = this.seat.value;
    if (seat === null) return false;
    try {
      const shown = await act(seat.seat);
      if (!this.closed) this.learn(shown);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return false;
    }
  }
}

const WAIT_LONGEST_MS = 60_000;

function waitOf(error: ApiError): number {
  const seconds = Number(error.params.seconds ?? error.params.retry_after ?? 5);
  return Math.min(WAIT_LONGEST_MS, Math.max(1, Number.isFinite(seconds) ? seconds : 5) * 1000);
}
