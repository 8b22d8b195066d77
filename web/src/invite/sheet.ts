/** What a printed invitation holds, from the words the server wrote. Pure. */

export interface SheetParts {
  /** The paragraph that tells the time, to be printed large, once; null when the visit is now. */
  readonly when: string | null;
  /** The other paragraphs without the link: it is on paper as a picture and, to be typed, at the foot. */
  readonly paragraphs: readonly string[];
}

/**
 * The words' paragraphs; the link, and what leads to it, give way to `how`: on paper nothing can be pressed. `time` is the
 * hour as the server writes it.
 */
export function sheetParts(words: string, link: string, how: string, time: string | null): SheetParts {
  let when: string | null = null;
  const paragraphs: string[] = [];
  for (const paragraph of words.split(/\n{2,}/)) {
    const bare = paragraph.replaceAll(link, "").trim();
    if (bare === "" && paragraph.includes(link)) {
      if (paragraphs.at(-1)?.endsWith(":")) paragraphs.pop();
      paragraphs.push(how);
    } else if (time !== null && when === null && bare.includes(time)) when = bare;
    else if (bare !== "" && !bare.endsWith(",")) paragraphs.push(bare); // the sheet's head greets by name
  }
  return { when, paragraphs };
}

/** Whom the sheet names: the patient on its own sheet alone; a sheet for somebody else must not tell who is ill. */
export function sheetNames(
  role: string,
  patient: string | null,
  clinician: string | null,
): { readonly patient: string | null; readonly clinician: string | null } {
  return { patient: role === "patient" ? patient : null, clinician };
}
