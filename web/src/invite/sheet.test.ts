import { describe, expect, it } from "vitest";
import { sheetParts } from "./sheet";

const LINK = "https://telemed.example/#/join/abc";

describe("a printed invitation", () => {
  it("says how to come from paper where the link to press stood", () => {
    const words = `You are invited.\n\nBefore that, press this link:\n\n${LINK}\n\nOr ${LINK}.\n\nCall 112.`;
    expect(sheetParts(words, LINK, "Use the picture.").paragraphs).toEqual([
      "You are invited.",
      "Use the picture.",
      "Or .",
      "Call 112.",
    ]);
  });
});
