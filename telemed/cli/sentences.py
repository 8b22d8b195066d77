"""Turns an error's code into the catalogue's sentence, in the language of the terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping

from telemed_web import LANGUAGES, words

__all__ = ["LANGUAGES", "language", "line", "sentence"]


def language(environment: Mapping[str, str] = os.environ) -> str:
    """``bg`` or ``en``, by the first of LC_ALL, LC_MESSAGES and LANG that says something (POSIX 8.2)."""
    chosen = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "bg" if chosen.lower().startswith("bg") else "en"


def sentence(code: str, params: Mapping[str, str | int], spoken: str) -> str:
    """The sentence of an error code with its parameters filled in; the bare code when no catalogue has it."""
    try:
        return words(f"error.{code}", params, spoken)
    except KeyError:
        return code


def line(code: str, params: Mapping[str, str | int], spoken: str | None = None) -> str:
    """What the terminal shows of a refusal: one line, its code in brackets."""
    return f"{sentence(code, params, spoken or language())} [{code}]".replace("\n", " ")
