"""``telemed analyze``: a recording through the live pipeline; beats, rates, quality, and what was not fit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telemed.cli.environment import say
from telemed.cli.errors import ChannelUnknown, SettingsInvalid, TrendUnwritable
from telemed.cli.progress import shown
from telemed.cli.sentences import language, line

if TYPE_CHECKING:
    from telemed_devices.recording import Recording

    from telemed.cli.recording_file import Opened
    from telemed.vitals.recorded.playback import Column, Playback, Row

BLOCK_MS = range(1, 60_001)
FAULTS_SHOWN = 12  # lines of a table that somebody reads; --json has them all


def analyze(
    file: Annotated[Path, typer.Argument(help="A WFDB record (its .hea), an EDF, EDF+ or BDF file.")],
    channel: Annotated[
        list[str] | None, typer.Option(help="Only the channel of this name; may be given several times.")
    ] = None,
    block_ms: Annotated[
        int, typer.Option("--block-ms", help="Milliseconds that the pipeline is given at once, 1 to 60000.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    trend: Annotated[Path | None, typer.Option(help="Write the numbers of every second to this CSV file.")] = None,
) -> None:
    """Run a recording through the pipeline of a live consultation and say what it would have shown."""
    from telemed_devices.recording import RecordingError

    from telemed.cli.recording_file import open_recording

    if block_ms not in BLOCK_MS:
        raise SettingsInvalid(name="--block-ms", value=str(block_ms))
    try:
        opened = open_recording(file)
    except RecordingError as error:
        typer.echo(line(error.code, error.params), err=True)
        raise typer.Exit(1) from None
    places = _places(opened.recording, channel or [])

    from telemed.vitals.recorded.playback import Playback  # which loads the compiled loops: not for a refusal

    playback = Playback(opened.recording, places, block_ms)
    with shown() as bars, _rows(trend, opened, playback) as row:
        playback.run(row, lambda done, of: bars("signal", done, of))
    found = playback.as_json()
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for text in table(found, language()):
        say(text)


def _places(recording: Recording, names: list[str]) -> list[int]:
    """The places of the channels of these names; all when none is given. Raises ``ChannelUnknown``."""
    for name in names:
        if not any(one.name == name for one in recording.channels):
            there = ", ".join(one.name for one in recording.channels[:40])
            raise ChannelUnknown(name=name[:80], channels=there)
    return [place for place, one in enumerate(recording.channels) if not names or one.name in names]


@contextmanager
def _rows(path: Path | None, opened: Opened, playback: Playback) -> Iterator[Callable[[int, Row], None] | None]:
    """Takes the rows of the trend: the file to write, or nothing. Raises ``TrendUnwritable``."""
    if path is None:
        yield None
        return
    if path.resolve() in opened.files:
        raise TrendUnwritable(path=str(path), reason="it is the recording")
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["second", *(_heading(one, opened.recording) for one in playback.columns())])
            yield lambda second, row: writer.writerow([second, *("" if one is None else f"{one:g}" for one in row)])
    except OSError as error:
        raise TrendUnwritable(path=str(path), reason=error.strerror or type(error).__name__) from None


def _heading(column: Column, recording: Recording) -> str:
    if column.place is None:
        return column.what
    name = recording.channels[column.place].name
    # A spreadsheet would compute what begins so, and the name is whatever the file says.
    return f"{name.lstrip('=+-@')} {column.what}"


def table(found: dict[str, Any], spoken: str) -> list[str]:
    """What was found, as lines that somebody reads: a row a channel, then the faults."""
    from telemed_web import words

    def word(key: str, **params: str | int) -> str:
        return words(f"command.{key}", params, spoken)

    names = ("channel", "kind", "rate", "beats", "heart_rate", "respiration", "quality")
    rows = [[word(f"analyze_{name}") for name in names]]
    for one in found["channels"]:
        why = one["not_analyzed"]
        kind = word("analyze_not", why=_reason(why, spoken)) if why else words(f"kind.{one['kind']}", {}, spoken)
        numbers = [one["heart_rate_bpm"], one["respiration_per_min"], one["quality"]]
        rows.append([
            one["name"], kind, f"{one['rate_hz']:g}", "" if why else str(len(one["beats"])),
            *("" if why else "--" if number is None else f"{number:g}" for number in numbers),
        ])  # fmt: skip
    lines = _aligned(rows, left=2)
    if found["respiration_per_min"] is not None:
        lines.append(word("analyze_breathing", per_min=f"{found['respiration_per_min']:g}"))
    faults = found["faults"]
    lines += ["", word("analyze_faults", count=len(faults))] if faults else []
    lines += _aligned([_fault(one, spoken) for one in faults[:FAULTS_SHOWN]], left=3)
    if len(faults) > FAULTS_SHOWN:
        lines.append(word("analyze_more", count=len(faults) - FAULTS_SHOWN))
    return [*lines, "", word("analyze_derived")]


def _fault(one: dict[str, Any], spoken: str) -> list[str]:
    first, end = one["first_sample"], one["end_sample"]
    where = "" if first is None else f"{first}–{'' if end is None else end}"
    return [f"  {one['channel'] or ''}", _reason(one["code"], spoken), where]


def _reason(code: str, spoken: str) -> str:
    from telemed_web import words

    try:
        return words(f"quality.{code}", {}, spoken)
    except KeyError:
        return code


def _aligned(rows: list[list[str]], left: int) -> list[str]:
    """Columns of one width; the first ``left`` begin at the left, the others, numbers, end at the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
