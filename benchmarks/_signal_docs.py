"""Writes the tables of docs/signal.md anew from the results, between ``<!-- table: NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from _signal_records import ROOT

PAGE: Final = ROOT / "docs" / "signal.md"
MARKED: Final = re.compile(r"(<!-- table: (\w+) -->\n)(?:(?:(?!<!-- table: ).)*?<!-- end -->\n|)", re.DOTALL)
"""A mark alone, where nothing was written yet, ends where it stands: the next table is not its own."""
Rows = Sequence[Sequence[str]]


def table(columns: Sequence[str], rows: Rows) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _beats(of: Mapping[str, Any]) -> str:
    def pair(one: Mapping[str, float]) -> str:
        return f"{one['se_pct']:.2f} / {one['pp_pct']:.2f}"

    def mean(gross: Mapping[str, Mapping[str, float]], which: str, share: str) -> float:
        return (gross[f"{which}, A"][share] + gross[f"{which}, B"][share]) / 2

    rows = []
    for method, told in sorted(of.items(), key=lambda one: -mean(one[1]["gross"], "150 ms, 5 min", "f1_pct")):
        gross = told["gross"]
        bold = "**" if method.startswith("Telemed") else ""
        both = [f"{mean(gross, w, 'se_pct'):.2f} / {mean(gross, w, 'pp_pct'):.2f}"
                for w in ("150 ms, 5 min", "150 ms, full", "50 ms, 5 min")]  # fmt: skip
        rows.append((
            f"{bold}{method}{bold}", pair(gross["150 ms, 5 min, A"]), pair(gross["150 ms, 5 min, B"]), both[0],
            f"{mean(gross, '150 ms, 5 min', 'f1_pct'):.2f}", both[1], both[2],
            f"{told['median_offset_ms']:.0f}", f"{told['interval_rms_ms']:.0f}",
        ))  # fmt: skip
    return table(("Se / +P in %, by F1", "half A", "half B", "mean", "F1", "full records", "within 50 ms", "offset, ms",
                  "intervals, rms ms"), rows)  # fmt: skip


def _counts(of: Mapping[str, Any]) -> str:
    return table(("one lead, after five minutes", "Se, %", "+P, %", "missed", "extra"), [
        (rate, f"{one['se_pct']:.2f}", f"{one['pp_pct']:.2f}", str(one["missed"]), str(one["extra"]))
        for rate, one in of.items()])  # fmt: skip


def _rates(of: Mapping[str, Any]) -> str:
    rows = []
    for method, told in sorted(of.items(), key=lambda one: one[1]["all"]["mae"]):
        bold = "**" if method == "Telemed" else ""
        halves = [f"{told[half]['mae']:.2f}, {told[half]['within_pct']:.1f} %" for half in ("A", "B", "all")]
        rows.append((f"{bold}{method}{bold}", *halves, f"{told['all']['within_of_shown_pct']:.1f} %",
                     f"{told['all']['coverage_pct']:.1f} %"))  # fmt: skip
    return table(("mean absolute error a minute, within", "half A", "half B", "all", "within, of shown", "there"), rows)


def _plain(of: Mapping[str, Any]) -> str:
    columns = list(dict.fromkeys(name for row in of.values() for name in row))
    return table(["", *(name.replace("_pct", ", %").replace("_", " ") for name in columns)], [
        (name, *("" if row.get(column) is None else f"{row[column]:,.3g}" if abs(row[column]) < 1000
                 else f"{row[column]:,.0f}" for column in columns))
        for name, row in of.items()])  # fmt: skip


def _constants(of: Mapping[str, Mapping[str, float]]) -> str:
    return table(("constant", *(f"half {half}" if half in "AB" else half for half in of)), [
        (f"`{name}`", *(f"{constants[name]:g}" for constants in of.values())) for name in of["shipped"]])  # fmt: skip


def _list(of: Mapping[str, float]) -> str:
    return table(("", "value"), [(name.replace("_", " "), f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}")
                                 for name, value in of.items()])  # fmt: skip


WRITERS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "beats": _beats, "tuned": _constants, "latency": _list, "beats_at_other_rates": _counts, "pulse": _rates,
    "respiration_of_the_chest": _rates, "respiration_of_the_pulse_wave": _rates, "noise": _plain, "trains": _plain,
    "speed_libraries": _plain, "speed_beats": _plain, "speed_bank": _plain, "memory": _list,
}  # fmt: skip


def fill(tables: Mapping[str, Any]) -> list[str]:
    """Put every table that is known in its place; returns their names."""
    done = []

    def one(found: re.Match[str]) -> str:
        name = found[2]
        if name not in tables:
            return found[0]
        done.append(name)
        return f"{found[1]}{WRITERS[name](tables[name])}<!-- end -->\n"

    PAGE.write_text(MARKED.sub(one, PAGE.read_text()))
    return done
