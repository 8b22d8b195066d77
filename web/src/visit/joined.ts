/**
 * Which links this browser joined with, so that a reload goes straight back in. Only a check sum of the link is kept: who
 * reads the store learns no link, and what lets one in is a cookie that pages cannot read.
 */
import { crc32 } from "../protocol/crc32";

const KEY = "telemed.joined";
/** The oldest is forgotten first. */
const MOST = 20;

const markOf = (token: string): string => crc32(new TextEncoder().encode(token)).toString(16);

function marks(): string[] {
  if (typeof localStorage === "undefined") return [];
  return (localStorage.getItem(KEY) ?? "").split(" ").filter((mark) => mark !== "");
}

function keep(list: readonly string[]): void {
  if (typeof localStorage !== "undefined") localStorage.setItem(KEY, list.slice(-MOST).join(" "));
}

export function joinedBefore(token: string): boolean {
  return marks().includes(markOf(token));
}

export function rememberJoined(token: string): void {
  keep([...marks().filter((mark) => mark !== markOf(token)), markOf(token)]);
}

/** The person left: the next time this link asks first. */
export function forgetJoined(token: string): void {
  keep(marks().filter((mark) => mark !== markOf(token)));
}
