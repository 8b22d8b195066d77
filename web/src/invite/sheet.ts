/** What a printed invitation holds, from the words the server wrote. Pure. */

export interface SheetParts {
  /** The paragraphs without the link: it is on paper as a picture and, small, at the foot. */
  readonly paragraphs: readonly string[];
}

/** The words' paragraphs; the link, and what leads to it, give way to `how`: on paper nothing can be pressed. */
export function sheetParts(words: string, link: string, how: string): SheetParts {
  const paragraphs: string[] = [];
  for (const paragraph of words.split(/\n{2,}/)) {
    const bare = paragraph.replaceAll(link, "").trim();
    if (bare === "" && paragraph.includes(link)) {
      if (paragraphs.at(-1)?.endsWith(":")) paragraphs.pop();
      paragraphs.push(how);
    } else if (bare !== "") paragraphs.push(bare);
  }
  return { paragraphs };
}
