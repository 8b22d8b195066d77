import { afterEach, describe, expect, it } from "vitest";
import { errorSentence, language, preferredLanguage, t } from "./index";
import { clockTime, decimal, duration, withDecimalMark } from "./numbers";

afterEach(() => {
  language.value = "bg";
});

describe("words", () => {
  it.each([
    [["bg-BG", "en"], "bg"],
    [["en-GB", "de"], "en"],
    [["en-US", "bg"], "bg"],
    [["de"], "bg"],
    [[], "bg"],
  ] as const)("begin in the browser's language: %j", (languages, expected) => {
    expect(preferredLanguage(languages)).toBe(expected);
  });

  it("change with the language at once", () => {
    language.value = "en";
    expect(t("worklist.title")).toBe("Work list");
    language.value = "bg";
    expect(t("worklist.title")).toBe("Работен списък");
  });

  it("say an error by its code, with plurals, and name an unknown one", () => {
    language.value = "bg";
    expect(errorSentence("too_many_attempts", { seconds: 1 })).toContain("1 секунда");
    expect(errorSentence("too_many_attempts", { seconds: 5 })).toContain("5 секунди");
    expect(errorSentence("never_heard_of")).toContain("never_heard_of");
    expect(errorSentence("invalid_request")).not.toContain("{");
  });

  it("write numbers and times as the language does", () => {
    const at = Date.UTC(2025, 10, 22, 12, 5, 9);
    language.value = "bg";
    expect(decimal(36.6, 1)).toBe("36,6");
    expect(clockTime(at)).toBe("14:05");
    expect(clockTime(at, true)).toBe("14:05:09");
    expect(withDecimalMark("0.5–40 Hz · 50 Hz")).toBe("0,5–40 Hz · 50 Hz");
    language.value = "en";
    expect(decimal(36.6, 1)).toBe("36.6");
    expect(clockTime(at)).toBe("14:05");
    expect(duration(3_905_000)).toBe("1:05:05");
    expect(duration(65_000)).toBe("1:05");
  });
});
