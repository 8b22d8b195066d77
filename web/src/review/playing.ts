/** A recording and the waves on one time line. Pure; times are consultation time in µs, a file's in seconds. */
import type { Recording } from "../api/types";
import { type Extent, placed } from "./window";

/** Where the cursor stands when the player turns the page, as a share of it. */
const TURNED_TO = 0.1;

/** Consultation time of a place in the file. */
export const timeAt = (one: Recording, seconds: number): number => one.began_us + seconds * 1e6;

/** The place in the file that shows a consultation time; null when it shows nothing of then. */
export function placeOf(one: Recording, us: number): number | null {
  const seconds = (us - one.began_us) / 1e6;
  return seconds >= 0 && seconds * 1000 <= one.length_ms ? seconds : null;
}

/** The window that shows this time while the recording plays: the same one, or the page with it. */
export function following(window: Extent, us: number, whole: Extent): Extent {
  if (us >= window.fromUs && us < window.toUs) return window;
  const length = window.toUs - window.fromUs;
  return placed(us - length * TURNED_TO, length / 1e6, whole);
}

/** The recording to begin with: the one that can be played and shows this time, else the first. */
export function chosenFor(all: readonly Recording[], us: number): Recording | null {
  const playable = all.filter((one) => one.ended_at !== null);
  return playable.find((one) => placeOf(one, us) !== null) ?? playable[0] ?? all[0] ?? null;
}

/** How far the picture may be off the waves, in whole milliseconds; null: not aligned. */
export const offMs = (one: Recording): number | null =>
  one.aligned && one.error_us !== null ? Math.max(1, Math.ceil(one.error_us / 1000)) : null;
