/**
 * Two soft notes when somebody begins to wait. A browser gives no sound before the person has touched the page:
 * until then `soundBlocked` is true, and the first touch or key anywhere switches it on.
 */
import { signal } from "@preact/signals";

const MUTED = "telemed.notices.muted";
/** E5 and A5: an octave and more above speech, far below a telephone's ring in loudness. */
const NOTES_HZ = [659.25, 880] as const;
const NOTE_S = 0.5;
const APART_S = 0.28;
const LOUDNESS = 0.14;

let context: AudioContext | null = null;

/** This browser was told to be silent. */
export const muted = signal(typeof localStorage !== "undefined" && localStorage.getItem(MUTED) === "1");
/** The browser would play nothing now. */
export const soundBlocked = signal(true);

export function mute(silent: boolean): void {
  muted.value = silent;
  if (silent) localStorage.setItem(MUTED, "1");
  else localStorage.removeItem(MUTED);
}

/** Make sound possible, if the browser lets this page; call it from a press. */
export async function wake(): Promise<void> {
  if (typeof AudioContext === "undefined") return;
  context ??= new AudioContext();
  context.onstatechange = () => {
    soundBlocked.value = context?.state !== "running";
  };
  await context.resume().catch(() => undefined);
  soundBlocked.value = context.state !== "running";
}

/** Wake with the first touch of the page, or at once when it was touched already. */
export function wakeWithFirstTouch(): void {
  const touch = () => {
    removeEventListener("pointerdown", touch, true);
    removeEventListener("keydown", touch, true);
    void wake();
  };
  if (navigator.userActivation?.hasBeenActive) void wake();
  else {
    addEventListener("pointerdown", touch, true);
    addEventListener("keydown", touch, true);
  }
}

/** Play the two notes, unless muted or blocked. */
export function chime(): void {
  if (muted.value || context === null || context.state !== "running") return;
  const start = context.currentTime + 0.02;
  NOTES_HZ.forEach((hz, i) => {
    if (context === null) return;
    const at = start + i * APART_S;
    const tone = new OscillatorNode(context, { type: "sine", frequency: hz });
    const loudness = new GainNode(context, { gain: 0 });
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime(LOUDNESS, at + 0.03);
    loudness.gain.exponentialRampToValueAtTime(0.0005, at + NOTE_S);
    tone.connect(loudness).connect(context.destination);
    tone.start(at);
    tone.stop(at + NOTE_S);
  });
}
