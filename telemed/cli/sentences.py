"""Turns an error's code into the catalogue's sentence, in the language of the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("en", "bg")
PLACEHOLDER = re.compile(r"\{(\w+)(?:,[^{}]*)?\}")  # an argument of ICU MessageFormat, plain or with a simple format


def language(environment: Mapping[str, str] = os.environ) -> str:
    """``bg`` or ``en``, by the first of LC_ALL, LC_MESSAGES and LANG that says something (POSIX 8.2)."""
    chosen = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "bg" if chosen.lower().startswith("bg") else "en"


def sentence(code: str, params: Mapping[str, str | int], spoken: str) -> str:
    """The sentence of an error code with its parameters filled in; the bare code when no catalogue has it."""
    text = _catalogue(spoken).get(f"error.{code}", code)
    return PLACEHOLDER.sub(lambda found: str(params.get(found[1], found[0])), text)


def line(code: str, params: Mapping[str, str | int], spoken: str | None = None) -> str:
    """What the terminal shows of a refusal: one line, its code in brackets."""
    return f"{sentence(code, params, spoken or language())} [{code}]".replace("\n", " ")


@cache
def _catalogue(spoken: str) -> Mapping[str, str]:
    file = resources.files("telemed_web").joinpath("catalogues", f"{spoken}.json")
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
