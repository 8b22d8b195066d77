/** Which pictures and voices are played: exactly one of each (participant, source), never one's own. Pure. */
import type { Person, Publication, Role, Source } from "../protocol/people";

/** A participant's source, as a name. */
export const tileKey = (participant: string, source: Source): string => `${participant} ${source}`;

/**
 * The newest publication of each (participant, source) but one's own, in a steady order: the order in which the
 * participants' first publications are listed.
 */
export function wantedTiles(publications: readonly Publication[], me: string | null): readonly Publication[] {
  const newest = new Map<string, Publication>();
  for (const publication of publications) {
    if (publication.participant === me) continue;
    newest.set(tileKey(publication.participant, publication.source), publication);
  }
  return [...newest.values()];
}

/** What has to be played anew: the publication, or what it carries, is another one. */
export const identityOf = (publication: Publication): string =>
  `${publication.id} ${[...publication.kinds].sort().join(" ")}`;

interface Seen {
  readonly key: string;
  readonly role: Role;
  readonly source: Source;
  readonly kinds: readonly string[];
}

const PATIENT_SIDE: readonly Role[] = ["patient", "station", "relative"];
const CLINICIAN_SIDE: readonly Role[] = ["clinician", "second_clinician"];

/**
 * Which tile is large: the chosen one while it is there; else a shared screen; else the first picture of the other side
 * (`staff` look at the patient, everybody else at the clinician); else the first picture; else the first voice.
 */
export function largeTile<T extends Seen>(tiles: readonly T[], chosen: string | null, staff: boolean): T | null {
  const picked = tiles.find((tile) => tile.key === chosen);
  if (picked !== undefined) return picked;
  const pictures = tiles.filter((tile) => tile.kinds.includes("video"));
  const sides = staff ? PATIENT_SIDE : CLINICIAN_SIDE;
  const ofSide = (list: readonly T[]) => {
    for (const role of sides) {
      const found = list.find((tile) => tile.role === role && tile.source === "camera");
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const screen = pictures.find((tile) => tile.source === "screen");
  return screen ?? ofSide(pictures) ?? ofSide(tiles) ?? pictures[0] ?? tiles[0] ?? null;
}

/** The tile after this one, round and round; null without tiles. */
export function nextTile<T extends Seen>(tiles: readonly T[], large: T | null): T | null {
  if (tiles.length === 0) return null;
  const at = large === null ? -1 : tiles.findIndex((tile) => tile.key === large.key);
  return tiles[(at + 1) % tiles.length] ?? null;
}

/** The person behind a tile; null when nobody of that id is told. */
export const personOf = (people: readonly Person[], participant: string): Person | null =>
  people.find((person) => person.id === participant) ?? null;

/** What of one's own the room can see. */
export function ownSources(publications: readonly Publication[], me: string | null): ReadonlySet<string> {
  return new Set(publications.filter((one) => one.participant === me).map((one) => one.source));
}
