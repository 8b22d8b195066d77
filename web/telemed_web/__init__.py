"""The built web application and the sentences that pages, documents and the command line share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

LANGUAGES = ("bg", "en")
_PARAMETER = re.compile(r"\{(\w+)\}")
# {name, plural, one {…} other {…}} with # for the number: the one form besides plain parameters that sentences
# use. Bulgarian and English have the same two categories (CLDR plural rules: one is n = 1 for whole numbers).
_PLURAL = re.compile(r"\{(\w+), plural, one \{([^{}]*)\} other \{([^{}]*)\}\}")


def dist() -> Traversable:
    """The folder of the built application; it does not exist before the web build has run."""
    return files(__name__) / "dist"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence of one language by its key. Raises ``KeyError`` for a language there is none for."""
    if language not in LANGUAGES:
        raise KeyError(language)
    text = (files(__name__) / "catalogues" / f"{language}.json").read_text("utf-8")
    sentences: dict[str, str] = json.loads(text)
    return MappingProxyType(sentences)


def words(key: str, params: Mapping[str, str | int], language: str) -> str:
    """The catalogue's text of a key with its ``{parameters}`` filled in. Raises ``KeyError`` when there is none."""
    return _filled(catalogue(language)[key], params)


def _filled(text: str, params: Mapping[str, str | int]) -> str:
    text = _PLURAL.sub(lambda match: _plural(match, params), text)
    return _PARAMETER.sub(lambda match: str(params.get(match.group(1), match.group(0))), text)


def _plural(match: re.Match[str], params: Mapping[str, str | int]) -> str:
    number = str(params.get(match.group(1), "…"))
    return match.group(2 if number == "1" else 3).replace("#", number)
