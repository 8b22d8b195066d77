import { describe, expect, it } from "vitest";
import { sheetNames, sheetParts } from "./sheet";

const LINK = "https://telemed.example/#/join/abc";

describe("a printed invitation", () => {
  it("says how to come from paper where the link to press stood", () => {
    const words = `You are invited.\n\nBefore that, press this link:\n\n${LINK}\n\nOr ${LINK}.\n\nCall 112.`;
    expect(sheetParts(words, LINK, "Use the picture.", null)).toEqual({
      when: null,
      paragraphs: ["You are invited.", "Use the picture.", "Or .", "Call 112."],
    });
  });

  it("tells the time once, apart from the rest", () => {
    const words = `Hello,\n\nWhen: Friday, 14:30. Allow 30 minutes.\n\n${LINK}`;
    expect(sheetParts(words, LINK, "Use the picture.", "14:30")).toEqual({
      when: "When: Friday, 14:30. Allow 30 minutes.",
      paragraphs: ["Use the picture."],
    });
  });

  it("names the patient on the patient's own sheet alone", () => {
    expect(sheetNames("patient", "Demo patient", "Dr Demo")).toEqual({ patient: "Demo patient", clinician: "Dr Demo" });
    for (const role of ["relative", "interpreter", "second_clinician"])
      expect(sheetNames(role, "Demo patient", null)).toEqual({ patient: null, clinician: null });
  });
});
