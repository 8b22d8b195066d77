/** Which browser this is, as far as the way to its permission switches differs. Pure: reads what it is given. */

export type BrowserKind =
  | "chrome_android"
  | "chrome_desktop"
  | "edge"
  | "firefox_android"
  | "firefox_desktop"
  | "safari_ios"
  | "safari_mac"
  | "samsung"
  | "other";

export type System = "android" | "ios" | "windows" | "mac" | "other";

export function browserOf(agent: string, touchPoints = 0): BrowserKind {
  const system = systemOf(agent, touchPoints);
  if (/SamsungBrowser\//.test(agent)) return "samsung";
  // Every browser on iOS is the system's own and has the same switches.
  if (system === "ios") return "safari_ios";
  if (/Edg(A|iOS)?\//.test(agent)) return system === "android" ? "chrome_android" : "edge";
  if (/Firefox\//.test(agent)) return system === "android" ? "firefox_android" : "firefox_desktop";
  if (/Chrom(e|ium)\//.test(agent)) return system === "android" ? "chrome_android" : "chrome_desktop";
  if (/Safari\//.test(agent) && system === "mac") return "safari_mac";
  return "other";
}

/** An iPad says that it is a Mac; only the fingers tell. */
export function systemOf(agent: string, touchPoints = 0): System {
  if (/Android/.test(agent)) return "android";
  if (/iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && touchPoints > 1)) return "ios";
  if (/Windows/.test(agent)) return "windows";
  if (/Macintosh/.test(agent)) return "mac";
  return "other";
}

/** The page stands inside another app (a messenger), which often gives no camera. */
export function insideApp(agent: string): boolean {
  return /FBAN|FBAV|FB_IAB|Instagram|Viber|Line\/|Telegram|MicroMessenger|; wv\)/.test(agent);
}

export type Unfit = "insecure" | "no_webrtc" | null;

/** Why a call cannot work in this browser at all; null when it can. */
export function unfit(secure: boolean, peerConnection: boolean, webSocket: boolean): Unfit {
  if (!secure) return "insecure";
  return peerConnection && webSocket ? null : "no_webrtc";
}

const agent = typeof navigator === "undefined" ? "" : navigator.userAgent;
const touchPoints = typeof navigator === "undefined" ? 0 : (navigator.maxTouchPoints ?? 0);
export const BROWSER = browserOf(agent, touchPoints);
export const SYSTEM = systemOf(agent, touchPoints);
export const INSIDE_APP = insideApp(agent);

export function unfitHere(): Unfit {
  return unfit(isSecureContext, "RTCPeerConnection" in globalThis, "WebSocket" in globalThis);
}
