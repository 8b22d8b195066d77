"""The picture of the state table: ``python -m telemed.consultation.picture docs/states.svg`` draws it anew.

:func:`draw` is pure: the same table and words give the same bytes, so that a test can hold the file to the table.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from telemed.consultation.states import OPEN, TABLE, Event, State

# Pixels. Columns are apart by what the longest label between two boxes needs.
WIDTH, HEIGHT = 1180, 430
BOX_WIDTH, BOX_HEIGHT = 136, 58
TWIN = 13  # two edges between the same boxes lie this far from the middle line
HEAD = 8  # an edge ends this far before its box: the length of its head
FONT = "'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"
GROUND, INK, SOFT = "#ffffff", "#16202b", "#4a5866"
OPEN_FILL, OPEN_EDGE, OVER_FILL, OVER_EDGE = "#e3f0ff", "#1d5fa8", "#eef0f3", "#5b6775"

PLACES: Final[Mapping[State, tuple[int, int]]] = {  # the middle of each box
    State.SCHEDULED: (100, 140),
    State.WAITING: (345, 140),
    State.LIVE: (590, 140),
    State.INTERRUPTED: (835, 140),
    State.CANCELLED: (100, 350),
    State.NO_SHOW: (345, 350),
    State.ENDED: (590, 350),
    State.SIGNED: (835, 350),
    State.AMENDED: (1080, 350),
}
Point = tuple[float, float]


def draw(table: Mapping[tuple[State, Event], State], words: Mapping[State, str]) -> str:
    """The table as SVG: a box a state (``words`` beneath its name), an arrow for what leads from one to another."""
    edges: dict[tuple[State, State], list[str]] = {}
    for (state, event), to in table.items():
        edges.setdefault((state, to), []).append(event.value.replace("_", " "))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="{FONT}" text-anchor="middle">',
        "<title>States of a consultation</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{GROUND}"/>',
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="1" refY="4" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path d="M0 0 9 4 0 8Z" fill="{SOFT}"/></marker></defs>',
    ]
    labels: list[str] = []
    for (state, to), events in edges.items():
        twin = (to, state) in edges
        line, label = _loop(state, events) if state is to else _edge(state, to, events, twin)
        parts.append(line)
        labels.append(label)
    parts += [_box(state, words[state]) for state in PLACES]
    return "\n".join([*parts, *labels, "</svg>", ""])


def _box(state: State, word: str) -> str:
    x, y = PLACES[state]
    fill, edge = (OPEN_FILL, OPEN_EDGE) if state in OPEN else (OVER_FILL, OVER_EDGE)
    return (
        f'<rect x="{x - BOX_WIDTH // 2}" y="{y - BOX_HEIGHT // 2}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="9" fill="{fill}" stroke="{edge}" stroke-width="2"/>'
        f'<text x="{x}" y="{y - 3}" font-size="17" font-weight="600" fill="{INK}">'
        f'{escape(state.value.replace("_", " "))}</text>'
        f'<text x="{x}" y="{y + 18}" font-size="15" fill="{SOFT}" lang="bg">{escape(word)}</text>'
    )


def _loop(state: State, events: list[str]) -> tuple[str, str]:
    x, y = PLACES[state]
    top = y - BOX_HEIGHT // 2
    path = f"M{x - 34} {top}C{x - 46} {top - 46} {x + 46} {top - 46} {x + 34} {top - HEAD}"
    return _line(path), _label((x, top - 42), events, "middle")


def _edge(state: State, to: State, events: list[str], twin: bool) -> tuple[str, str]:
    (ax, ay), (bx, by) = PLACES[state], PLACES[to]
    length = math.hypot(bx - ax, by - ay)
    ux, uy = (bx - ax) / length, (by - ay) / length
    side = TWIN if twin else 0.0
    shift = (uy * side, -ux * side)
    begin = _border((ax, ay), (ux, uy), shift, 0.0)
    end = _border((bx, by), (-ux, -uy), shift, HEAD)
    path = f"M{begin[0]:.1f} {begin[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"
    if uy == 0.0:  # level: the label above what goes right, below what comes back
        middle = ((begin[0] + end[0]) / 2, begin[1] + (-9 if ux > 0 else 20))
        return _line(path), _label(middle, events, "middle")
    if ux == 0.0:  # upright: the label beside it
        return _line(path), _label((begin[0] + 8, (begin[1] + end[1]) / 2 + 5), events, "start")
    part = 0.3  # aslant: nearer to where it comes from, so that two that cross keep their labels apart
    at = (begin[0] + (end[0] - begin[0]) * part, begin[1] + (end[1] - begin[1]) * part + 5)
    return _line(path), _label(at, events, "middle")


def _border(middle: Point, way: Point, shift: Point, before: float) -> Point:
    """Where a line from the middle leaves the box, ``before`` pixels outside."""
    x, y = way
    reach = min(
        (BOX_WIDTH / 2) / abs(x) if x else math.inf,
        (BOX_HEIGHT / 2) / abs(y) if y else math.inf,
    ) + before
    return middle[0] + shift[0] + x * reach, middle[1] + shift[1] + y * reach


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="1.6" marker-end="url(#head)"/>'


def _label(at: Point, events: list[str], anchor: str) -> str:
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="15" fill="{INK}" text-anchor="{anchor}" '
        f'stroke="{GROUND}" stroke-width="5" stroke-linejoin="round" paint-order="stroke">'
        f'{escape(" · ".join(events))}</text>'
    )


def words() -> dict[State, str]:
    """The states in Bulgarian, as the pages say them."""
    text = resources.files("telemed_web").joinpath("catalogues/bg.json").read_text(encoding="utf-8")
    catalogue: dict[str, str] = json.loads(text)
    return {state: catalogue[f"state.{state.value}"].lower() for state in State}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(TABLE, words()), encoding="utf-8")
