/**
 * How one device (camera or microphone) stands with the browser and the system: a state machine. Pure.
 *
 * Nothing here is ever "starting": either nobody was asked, or the browser asks, or it has answered.
 */

export type Permission = "not_asked" | "asking" | "allowed" | "denied" | "blocked" | "in_use" | "none" | "unavailable";

/** What the browser remembers about this site (Permissions API); null where it does not say. */
export type Remembered = "granted" | "denied" | "prompt" | null;

export type DeviceEvent =
  | { readonly type: "ask" }
  | { readonly type: "granted" }
  /** getUserMedia failed, with the standard name of the failure and the browser's own remark. */
  | { readonly type: "failed"; readonly name: string; readonly remark: string; readonly remembered: Remembered }
  /** What the browser remembers has changed while the page is open. */
  | { readonly type: "remembered"; readonly remembered: Remembered }
  /** The track ended though nobody here ended it; `present`: a device of the kind is still there. */
  | { readonly type: "ended"; readonly present: boolean; readonly remembered: Remembered }
  /** Devices were plugged in or pulled out. */
  | { readonly type: "present"; readonly present: boolean }
  /** The page let the device go. */
  | { readonly type: "released" };

export function nextPermission(state: Permission, event: DeviceEvent): Permission {
  switch (event.type) {
    case "ask":
      return "asking";
    case "granted":
      return "allowed";
    case "failed":
      return ofFailure(event.name, event.remark, event.remembered);
    case "remembered":
      return ofMemory(state, event.remembered);
    case "ended":
      if (event.remembered === "denied") return "denied";
      return event.present ? "in_use" : "none";
    case "present":
      return state === "none" && event.present ? "not_asked" : state;
    case "released":
      return state === "allowed" || state === "asking" ? "not_asked" : state;
  }
}

/** Media Capture and Streams 10.3.1 names the failures; who refused is told by the remark and by the memory. */
function ofFailure(name: string, remark: string, remembered: Remembered): Permission {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      if (/dismiss/i.test(remark)) return "not_asked";
      // The browser would have allowed it, so the refusal is the system's.
      return /system/i.test(remark) || remembered === "granted" ? "blocked" : "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "none";
    case "NotReadableError":
    case "AbortError":
      return "in_use";
    default:
      return "unavailable";
  }
}

function ofMemory(state: Permission, remembered: Remembered): Permission {
  if (remembered === "denied") return state === "none" || state === "unavailable" ? state : "denied";
  // The person took the refusal back in the browser's settings: it may be asked (or opened) again.
  return state === "denied" ? "not_asked" : state;
}

/** In these states asking again can help. */
export function mayAsk(state: Permission): boolean {
  return state !== "asking" && state !== "allowed" && state !== "unavailable";
}
