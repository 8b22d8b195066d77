"""Every error that the server, the command line or the station can give has a sentence in both languages."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module, resources

import pytest
import telemed_station
from telemed_station.errors import StationError

import telemed
from telemed.cli.sentences import LANGUAGES, sentence
from telemed.errors import TelemedError

PROGRAMS = {"telemed.__main__", "telemed.store.launch"}  # run, not imported


def codes(root: type) -> Iterator[str]:
    for error in root.__subclasses__():
        if error.__module__.startswith("telemed"):  # not what another test made
            yield vars(error).get("code", "")
        yield from codes(error)


def every_code() -> set[str]:
    for package in (telemed, telemed_station):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in PROGRAMS:
                import_module(module.name)
    found = {TelemedError.code, StationError.code, *codes(TelemedError), *codes(StationError)}
    return {code for code in found if code}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_a_sentence(language: str) -> None:
    without = sorted(code for code in every_code() if sentence(code, {}, language) == code)
    assert not without


def test_both_catalogues_say_the_same_things() -> None:
    english, bulgarian = (
        json.loads(resources.files("telemed_web").joinpath("catalogues", f"{language}.json").read_text("utf-8"))
        for language in LANGUAGES
    )
    assert english.keys() == bulgarian.keys()
