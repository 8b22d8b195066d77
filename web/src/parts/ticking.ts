/** The present, as a signal: `now` is Date.now() and moves twice a second while the page is open. */
import { signal } from "@preact/signals";

export const TICK_MS = 500;
export const now = signal(Date.now());

setInterval(() => {
  now.value = Date.now();
}, TICK_MS);
