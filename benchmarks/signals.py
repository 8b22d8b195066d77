"""The signal pipeline beside the libraries: beats (AAMI EC57), pulse, respiration, noise, other rates, speed, memory.

``python benchmarks/signals.py [tuned beats rates noise speed pictures]``: some parts alone keep what is known of the
others; ``docs`` alone writes the tables of docs/signal.md anew from the results.
What the libraries found is kept under build/signal, so that a second run is quick. ``tuned`` searches our constants on
each half of the records, for the score on the other half; what it finds is printed, and never shipped by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import _signal_accuracy as beats
import _signal_noise as noise
import _signal_rates as rates
import _signal_speed as speed
from _report import RESULTS, Row, report
from _signal_docs import fill
from _signal_halves import MIT, MIT_A, MIT_B
from _signal_libraries import reference
from _signal_peers import PYTHON, Libraries
from _signal_pictures import sheets
from _signal_records import ROOT, folder
from _signal_score import Count, Shown
from _signal_tuned import shipped
from rich.console import Console
from rich.table import Table

PARTS: Final = ("tuned", "beats", "rates", "noise", "speed", "pictures")
DOCS: Final = "docs"
RESULT: Final = RESULTS / "signal.json"
PICTURES: Final = ROOT / "build" / "signal" / "misses"
OTHER_RATES_HZ: Final = (125, 250, 500, 1_000)
WIDE: Final = Console(width=170)


def shown(title: str, columns: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    WIDE.print(table)


def of_beats(libraries: Libraries | None, tables: dict[str, Any]) -> beats.Accuracy:
    """Accuracy of beats, the latency, other rates."""
    done = beats.measured(libraries)
    if "tuned" in tables:
        done.scores.update(beats.crossed(tables["tuned"]))
    lines = []
    for method, scores in sorted(done.scores.items(), key=lambda one: -one[1].gross(MIT).f1_pct):
        after, full = scores.gross(MIT), scores.gross(MIT, start="full")
        a, b, close = scores.gross(MIT_A), scores.gross(MIT_B), scores.gross(MIT, window=50)
        told = scores.told()
        lines.append((
            method, *_pair(after), f"{after.f1_pct:.3f}", *_pair(a), *_pair(b),
            f"{(a.sensitivity_pct + b.sensitivity_pct) / 2:.3f}",
            f"{(a.predictivity_pct + b.predictivity_pct) / 2:.3f}",
            *_pair(full), *_pair(close), str(told["median_offset_ms"]), str(told["interval_rms_ms"]),
        ))  # fmt: skip
    shown("Beats, 32 MIT-BIH records, 150 ms, after five minutes (Se / +P in per cent)", (
        "detector", "Se", "+P", "F1", "A Se", "A +P", "B Se", "B +P", "mean Se", "mean +P", "full Se", "full +P",
        "50 ms Se", "50 ms +P", "offset ms", "RR rms ms"), lines)  # fmt: skip
    per_record = [
        (name, *(f"{one.missed}/{one.extra}" for one in (
            scores.by_record[name, 150, "5 min"] for scores in done.scores.values())))
        for name in MIT
    ]
    shown("Missed / extra beats by record, after five minutes", ("record", *done.scores), per_record)
    for line in libraries.failed if libraries else ():
        WIDE.print(f"failed: {line}")
    others = beats.at_other_rates(OTHER_RATES_HZ)
    latency = done.latency.told()
    tables["beats"] = {method: scores.told() for method, scores in done.scores.items()}
    tables["latency"] = {name: round(value, 2) for name, value in latency.items()}
    tables["beats_at_other_rates"] = {f"{rate} Hz": beats.as_json(count) for rate, count in others.items()}
    tables["same_beats_by_sample_and_in_blocks_of_250_ms"] = done.chunking_equal
    shown("Latency, R peak to beat", ("of", "value"), [(name, f"{value:.1f}") for name, value in latency.items()])
    resampled = [(f"{rate} Hz", *_pair(count)) for rate, count in others.items()]
    shown("One lead, resampled", ("rate", "Se", "+P"), resampled)
    return done


def of_tuned(tables: dict[str, Any]) -> None:
    """The constants that a search finds on half A, on half B and on all records, beside those shipped."""
    tables["tuned"] = {"shipped": shipped(), **beats.tuned()}
    names = tables["tuned"]["shipped"]
    shown("Constants, searched on half A, half B and all records", ("of", *tables["tuned"]), [
        (name, *(f"{constants[name]:g}" for constants in tables["tuned"].values())) for name in names])  # fmt: skip


def _pair(count: Count) -> tuple[str, str]:
    return f"{count.sensitivity_pct:.3f}", f"{count.predictivity_pct:.3f}"


def of_rates(libraries: Libraries | None, tables: dict[str, Any]) -> None:
    """Pulse and respiration."""
    names = ("pulse", "respiration of the chest", "respiration of the pulse wave")
    for name, kept in zip(names, rates.measured(libraries), strict=True):
        bound = rates.PULSE_BOUND if name == "pulse" else rates.BREATH_BOUND
        tables[name.replace(" ", "_")] = rates.as_json(kept, bound)
        lines = []
        for method, records in kept.items():
            by_half = rates.halves(records)
            lines.append((method, *(text for one in by_half.values() for text in _numbers(one, bound))))
        columns = tuple(f"{half}: {what}" for half in ("all", "A", "B") for what in (
            "MAE", f"within {bound:.0f} %", "of shown %", "there %"))  # fmt: skip
        shown(f"{name}, 35 BIDMC records, per minute", ("method", *columns), lines)


def _numbers(one: Shown, bound: float) -> tuple[str, ...]:
    return (f"{one.mean:.2f}", f"{one.within_pct(bound):.1f}", f"{one.within_of_shown_pct(bound):.1f}",
            f"{one.coverage_pct:.1f}")  # fmt: skip


def of_noise(tables: dict[str, Any], recordings: bool) -> None:
    """Noise excerpts, clean records, a lead that is off; trains."""
    if recordings:
        tables["noise"] = noise.measured()
        title = "Noise of moving electrodes (wrong: a rate off by more than 5 a minute; ungated: without the quality)"
        _plain(title, tables["noise"])
    tables["trains"] = noise.trains()
    _plain("Trains of 30 to 300 a minute", tables["trains"])


def _plain(title: str, rows: Mapping[str, Mapping[str, float | None]]) -> None:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    shown(title, ("", *columns), [
        (name, *("" if row.get(column) is None else f"{row[column]:,.4g}" for column in columns))
        for name, row in rows.items()])  # fmt: skip


def of_speed(libraries: Libraries | None, tables: dict[str, Any]) -> None:
    """Ratios to the reference, and memory."""
    tables["reference_samples_per_s"] = reference()
    if libraries is not None:
        tables["speed_libraries"] = speed.of_libraries(libraries, (*beats.METHODS,))
        _plain("Libraries, one lead, ratio to the reference", tables["speed_libraries"])
    tables["speed_beats"] = speed.of_beats()
    _plain("Our beats", tables["speed_beats"])
    tables["speed_bank"] = speed.of_bank()
    _plain("A tick of 100 ms, twelve leads a station at 500 Hz", tables["speed_bank"])
    tables["memory"] = speed.memory()
    shown("Memory", ("of", "value"), [(name, f"{value:,.0f}") for name, value in tables["memory"].items()])


def best_of(values: Mapping[str, float], pick: Callable[..., Any] = max) -> tuple[str | None, float | None]:
    """The best library and its figure."""
    return pick(((name, value) for name, value in values.items()), key=lambda one: one[1]) if values else (None, None)


def rows_of_beats(tables: Mapping[str, Any]) -> list[Row]:
    """Accuracy of beats, the mean of both halves, each beside the best library."""
    rows: list[Row] = []
    scores = tables.get("beats", {})
    for ours in (beats.OURS, beats.FUSED, beats.CROSS, beats.CROSS_FUSED):
        goal = ">= 99.90, mean of halves" if "two" in ours else ">= 99.85, mean of halves"
        for start in ("5 min", "full") if ours in scores else ():
            for share, what in (("se_pct", "Se"), ("pp_pct", "+P"), ("f1_pct", "F1")):
                def mean(of: str, start: str = start, share: str = share) -> float:
                    gross = scores[of]["gross"]
                    return float(sum(gross[f"150 ms, {start}, {half}"][share] for half in "AB") / 2)

                best = best_of({one: mean(one) for one in beats.METHODS if one in scores})
                rows.append(Row(f"{ours}, {start}, {what}", mean(ours), "%", *best, goal))
    for name, value in tables.get("latency", {}).items():
        wanted = {"p99_ms": "<= 450", "longest_second_look_ms": "<= 1,600"}.get(name)
        rows.append(Row(f"R peak to beat, {name}", value, "%" if name.endswith("pct") else "ms", goal=wanted))
    return rows


def rows_of(tables: Mapping[str, Any]) -> list[Row]:
    """What the promises are about, each beside the best library of the same table."""
    rows = rows_of_beats(tables)
    for table, share, goal in (
        ("pulse", "within_pct", ">= 95"), ("respiration_of_the_chest", "mae", "<= 0.42"),
        ("respiration_of_the_chest", "within_pct", ">= 97"), ("respiration_of_the_pulse_wave", "mae", None),
    ):  # fmt: skip
        kept = {method: told["all"][share] for method, told in tables.get(table, {}).items()}
        if (ours := kept.pop("Telemed", None)) is not None:
            best = best_of(kept, min if share == "mae" else max)
            unit = "/min" if share == "mae" else "%"
            rows.append(Row(f"{table.replace('_', ' ')}, {share}", ours, unit, *best, goal))
    for name, row in tables.get("trains", {}).items():
        rows.append(Row(f"trains at {name}, largest error", row["largest_error_pct"], "%", goal="<= 1 % or 1 bpm"))
    offline = best_of({method: told["offline"] for method, told in tables.get("speed_libraries", {}).items()})
    for name, row in tables.get("speed_beats", {}).items():
        wanted = {"1 lead, 250 ms": ">= 0.22", "12 leads, 250 ms": ">= 0.35"}.get(name)
        rows.append(Row(f"beats, {name}, of the reference", row["ratio"], "x", *offline, wanted))
    for name, row in tables.get("speed_bank", {}).items():
        wanted = ">= 3.5" if name.startswith("1000 stations, kernel") else None
        rows.append(Row(f"tick, {name}, of the reference", row["ratio"], "x", goal=wanted))
    for name, value in tables.get("memory", {}).items():
        rows.append(Row(name.replace("_", " "), value, "", goal="<= 8,192" if name == "beats_bytes_a_lead" else None))
    return rows


def main() -> None:
    """Measure the parts asked for, print, and write results/signal.json."""
    parts = sys.argv[1:] or list(PARTS)
    if parts == [DOCS]:
        WIDE.print(f"docs/signal.md: {', '.join(fill(json.loads(RESULT.read_text())['tables']))}")
        return
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    recordings = folder() is not None
    tables: dict[str, Any] = json.loads(RESULT.read_text())["tables"] if sys.argv[1:] and RESULT.exists() else {}
    with ExitStack() as stack:
        libraries = stack.enter_context(Libraries()) if PYTHON.exists() else None
        if libraries is None:
            WIDE.print("Without the libraries: run `make bench-signal`, which installs them.")
        else:
            tables["libraries"] = libraries.versions
        if not recordings:
            WIDE.print("No recordings (TELEMED_RECORDINGS): accuracy is left out.")
        elif {"tuned", "beats", "pictures"} & set(parts):
            if "tuned" in parts:
                of_tuned(tables)
            accuracy = of_beats(libraries, tables)
            if "pictures" in parts and libraries is not None:
                drawn = sheets(accuracy, PICTURES, PYTHON)
                WIDE.print(f"{len(drawn)} pictures of misses in {PICTURES.relative_to(ROOT)}")
        if recordings and "rates" in parts:
            of_rates(libraries, tables)
        if "noise" in parts:
            of_noise(tables, recordings)
        if "speed" in parts:
            of_speed(libraries, tables)
    report("signal", rows_of(tables))
    content = json.loads(RESULT.read_text())
    RESULT.write_text(json.dumps({**content, "tables": tables}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
