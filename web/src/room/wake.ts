/** When a page should look at once whether its connections still hold: the network came back or changed, or it woke up. */

interface NetworkInformation extends EventTarget {
  readonly type?: string;
}

/** How often a page looks whether it has slept; a page in the background is let look once a minute. */
const TICK_MS = 1_000;
/** A page that stood still so long has lost its pictures: the server gives a publisher 5 s. */
export const SLEPT_MS = 4_000;

const networkOf = (): NetworkInformation | undefined =>
  typeof navigator === "undefined" ? undefined : (navigator as { connection?: NetworkInformation }).connection;

/**
 * Call `act` with true when what went over the network is gone (the network is another one now, or the machine slept),
 * with false when the page is seen again after it may have slept. The answer ends that.
 */
export function onWake(act: (gone: boolean) => void): () => void {
  if (typeof addEventListener === "undefined" || typeof document === "undefined") return () => undefined;
  const network = networkOf();
  let type = network?.type;
  let lookedMs = Date.now();
  const online = () => act(true);
  const seen = () => {
    if (document.visibilityState === "visible") act(false);
  };
  const changed = () => {
    // The estimate of the speed changes all the time; only another kind of network counts.
    if (network?.type === type) return;
    type = network?.type;
    if (type !== "none") act(true);
  };
  // No event tells of a machine that slept with its page in sight. Timers of a hidden page are slow by themselves.
  const ticking = setInterval(() => {
    const slept = Date.now() - lookedMs - TICK_MS > SLEPT_MS && document.visibilityState === "visible";
    lookedMs = Date.now();
    if (slept) act(true);
  }, TICK_MS);
  addEventListener("online", online);
  addEventListener("pageshow", seen);
  document.addEventListener("visibilitychange", seen);
  document.addEventListener("resume", seen);
  network?.addEventListener("change", changed);
  return () => {
    clearInterval(ticking);
    removeEventListener("online", online);
    removeEventListener("pageshow", seen);
    document.removeEventListener("visibilitychange", seen);
    document.removeEventListener("resume", seen);
    network?.removeEventListener("change", changed);
  };
}
