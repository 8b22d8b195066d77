/** What changed in a room, for whoever hears the page instead of seeing it. Pure. */
import type { Line, Person } from "../protocol/people";

export type News =
  | { readonly what: "came" | "left" | "door"; readonly person: Person }
  | { readonly what: "said"; readonly line: Line };

const inside = (person: Person) => person.here && person.seat !== "waiting";
const atDoor = (person: Person) => person.here && person.seat === "waiting";

/** Who came, left or stands at the door since `before`; nothing about oneself. */
export function newsOfPeople(before: readonly Person[], after: readonly Person[], me: string | null): News[] {
  const then = new Map(before.map((person) => [person.id, person]));
  const news: News[] = [];
  for (const person of after) {
    const old = then.get(person.id);
    then.delete(person.id);
    if (person.id === me) continue;
    if (inside(person) && (old === undefined || !inside(old))) news.push({ what: "came", person });
    else if (atDoor(person) && (old === undefined || !atDoor(old))) news.push({ what: "door", person });
    else if (old !== undefined && inside(old) && !inside(person)) news.push({ what: "left", person });
  }
  for (const person of then.values()) if (inside(person) && person.id !== me) news.push({ what: "left", person });
  return news;
}

/** Lines of others after the line with number `seen`. */
export const newLines = (lines: readonly Line[], seen: number, me: string | null): readonly Line[] =>
  lines.filter((line) => line.n > seen && line.by.id !== me);
