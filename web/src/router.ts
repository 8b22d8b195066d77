/** Where in the application the page is: the address behind the #, as a signal. */
import { signal } from "@preact/signals";

export type Place =
  | { readonly page: "worklist" }
  | { readonly page: "live"; readonly id: string }
  | { readonly page: "review"; readonly id: string }
  | { readonly page: "desk"; readonly id: string }
  | { readonly page: "station"; readonly id: number }
  | { readonly page: "join"; readonly token: string }
  | { readonly page: "check" }
  | { readonly page: "help" }
  | { readonly page: "unknown" };

/** Longer than any ticket; what is cut off was none anyway. */
const TOKEN_MOST = 200;
const STATION = /^[1-9][0-9]{0,8}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The place that an address names; no address at all is the work list. */
export function placeOf(hash: string): Place {
  const parts = hash.replace(/^#?\/?/, "").split("/");
  if (parts.length === 1 && parts[0] === "help") return { page: "help" };
  if (parts.length === 1 && parts[0] === "check") return { page: "check" };
  // A link that was cut on its way still leads to the page that says so.
  if (parts[0] === "join") return { page: "join", token: parts.slice(1).join("/").slice(0, TOKEN_MOST) };
  if (parts[0] === "consultations" && parts[1] !== undefined && UUID.test(parts[1])) {
    if (parts.length === 2) return { page: "live", id: parts[1] };
    if (parts.length === 3 && parts[2] === "review") return { page: "review", id: parts[1] };
    if (parts.length === 3 && parts[2] === "desk") return { page: "desk", id: parts[1] };
  }
  if (parts.length === 2 && parts[0] === "stations" && parts[1] !== undefined && STATION.test(parts[1])) {
    return { page: "station", id: Number(parts[1]) };
  }
  return parts.length === 1 && parts[0] === "" ? { page: "worklist" } : { page: "unknown" };
}

/** The address of a place. */
export function addressOf(place: Place): string {
  switch (place.page) {
    case "worklist":
      return "#/";
    case "unknown":
      return "#/unknown";
    case "help":
      return "#/help";
    case "check":
      return "#/check";
    case "join":
      return `#/join/${place.token}`;
    case "live":
      return `#/consultations/${place.id}`;
    case "review":
      return `#/consultations/${place.id}/review`;
    case "desk":
      return `#/consultations/${place.id}/desk`;
    case "station":
      return `#/stations/${place.id}`;
  }
}

export const place = signal<Place>({ page: "worklist" });

export function go(to: Place): void {
  location.hash = addressOf(to);
}

/** Follow the address bar from now on. */
export function followAddress(): void {
  const follow = () => {
    place.value = placeOf(location.hash);
  };
  addEventListener("hashchange", follow);
  follow();
}
