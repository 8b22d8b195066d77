"""Our constants as a search finds them on one half of the records, so that the other half's score is of records unseen.

The search is plain, and alike every time: from what was published before us, one constant after the other is moved a
step up or down and stays where the mean of Se and +P is better, until no step helps; then with half the step, and a
quarter. It runs on a copy of the library in a process of its own: compiled code has its constants in it, the copy
reads them when a detector begins, so that one compilation serves all trials.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from _signal_records import ROOT, Ecg, Places, mit
from _signal_score import SKIPPED_S, WINDOWS_MS, counted, total, within

Constants = Mapping[str, float]


@dataclass(frozen=True)
class Way:
    """Where the search of one constant begins, its first step, and how far it may go."""

    begin: float
    step: float
    least: float
    most: float


PUBLISHED: Final[Mapping[str, Way]] = {
    "judgement.SHARE": Way(0.25, 0.0625, 0.05, 0.9),  # Pan and Tompkins 1985, as are those marked so
    "judgement.RAISED": Way(0.0, 0.2, 0.0, 1.0),  # ours: without
    "judgement.HOLD_OFF_S": Way(0.2, 0.04, 0.18, 0.3),  # Pan and Tompkins; above 0.3 a beat is told too late
    "judgement.LATE": Way(1.66, 0.16, 1.1, 3.0),  # Pan and Tompkins
    "judgement.SECOND_LOOK": Way(0.5, 0.1, 0.1, 1.0),  # Pan and Tompkins
    "judgement.T_WAVE_S": Way(0.36, 0.06, 0.18, 0.6),  # Pan and Tompkins
    "judgement.AFTER_EARLY": Way(0.0, 0.4, 0.0, 1.2),  # ours: without
    "judgement.CLIP": Way(2.0, 0.5, 1.2, 8.0),  # ours: any
    "qrs.TWINS": Way(0.5, 0.1, 0.3, 1.0),  # Pan and Tompkins tell a T wave by half the slope
    "beats.CLOSE_S": Way(0.1, 0.04, 0.04, 0.16),  # a QRS is 120 ms at most (IEC 60601-2-27)
}
"""What is searched for, on one lead, in this order."""
FUSED: Final[Mapping[str, Way]] = {"fusion.SHARE": Way(0.25, 0.0625, 0.05, 0.9)}
"""Afterwards, on two leads."""
FINER: Final = (1.0, 0.5, 0.25)
COPY: Final = ROOT / "build" / "signal" / "tuned"
LIBRARY: Final = ROOT / "signal" / "telemed_signal"
WHOLE: Final = 1 << 20
"""Samples of a block of the search: any gives the same beats, so the longest is taken."""


def shipped() -> dict[str, float]:
    """The same constants as the library has them."""
    return {name: float(getattr(*_found(name))) for name in (*PUBLISHED, *FUSED)}


def _found(name: str) -> tuple[ModuleType, str]:
    module, constant = name.split(".")
    return importlib.import_module(f"telemed_signal.{module}"), constant


def copied() -> Path:
    """A copy of the library whose judgement reads the searched constants from its memory; the folder to put first."""
    place = COPY / LIBRARY.name
    place.mkdir(parents=True, exist_ok=True)
    for file in LIBRARY.glob("*.py"):
        text = file.read_text()
        wanted = _read_when_begun(text) if file.name == "judgement.py" else text
        copy = place / file.name
        if not copy.exists() or copy.read_text() != wanted:  # else its compiled code is kept
            copy.write_text(wanted)
    return COPY


def _read_when_begun(text: str) -> str:
    names = [name.split(".")[1] for name in PUBLISHED if name.startswith("judgement.")]
    constants, functions = text.split("def begin(", 1)
    begin, compiled = functions.split("@compiled()", 1)
    for place, name in enumerate(names):
        if not re.search(rf"^{name}: Final = ", constants, re.MULTILINE):
            raise ValueError(f"judgement.{name} is not a constant of the library")
        compiled = re.sub(rf"\b{name}\b", f"real[SEARCHED + {place}]", compiled)
    constants, moved = re.subn(r"^(REALS: Final = .*)$", rf"\1\nSEARCHED = REALS\nREALS = SEARCHED + {len(names)}",
                               constants, count=1, flags=re.MULTILINE)  # fmt: skip
    zero = "    real[:REALS] = 0.0\n"
    if not moved or zero not in begin:
        raise ValueError("the judgement's memory is laid out in another way")
    begin = begin.replace(zero, f"{zero}    real[SEARCHED:REALS] = {', '.join(names)}\n")
    return f"{constants}def begin({begin}@compiled(){compiled}"


def _asked(job: Mapping[str, Any]) -> Any:
    """What a process with the copy answers."""
    path = os.pathsep.join([str(copied()), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    return json.loads(done.stdout)


def searched(names: Sequence[str]) -> dict[str, float]:
    """The constants that are best for these records and no others: one lead, then what two leads need beside."""
    found: dict[str, float] = _asked({"do": "search", "names": list(names)})
    return found


def beats_of(constants: Constants, names: Sequence[str], leads: int) -> dict[str, Places]:
    """The beats that these constants find in these records, from one lead or two fused."""
    found = _asked({"do": "beats", "constants": dict(constants), "names": list(names), "leads": leads})
    return {name: np.array(places, dtype=np.int64) for name, places in found.items()}


# In the process of the copy.


def _beats(constants: Constants, record: Ecg, leads: int) -> Places:
    from _signal_ours import fused_beats, lead_beats

    for name, value in constants.items():
        setattr(*_found(name), value)
    if leads == 1:
        return lead_beats(record.x_mv[0], record.rate_hz, WHOLE / record.rate_hz).at
    fused = fused_beats(record.x_mv, record.rate_hz, WHOLE / record.rate_hz)
    assert fused is not None
    return fused.at


def _goodness(constants: Constants, records: Sequence[Ecg], leads: int) -> float:
    counts = total(
        counted(within(record, _beats(constants, record, leads), WINDOWS_MS[0]), SKIPPED_S * record.rate_hz)
        for record in records
    )
    return (counts.sensitivity_pct + counts.predictivity_pct) / 2


def descended(ways: Mapping[str, Way], goodness: Any, fixed: Constants) -> dict[str, float]:
    """``fixed`` and the constants of ``ways``, each where ``goodness`` of all is best, by steps from where it began."""
    here = {**fixed, **{name: way.begin for name, way in ways.items()}}
    best = goodness(here)
    for share in FINER:
        better = True
        while better:
            better = False
            for name, way in ways.items():
                for step in (way.step * share, -way.step * share):
                    value = round(min(way.most, max(way.least, here[name] + step)), 6)
                    reached = goodness({**here, name: value}) if value != here[name] else best
                    if reached > best:
                        here[name], best, better = value, reached, True
                        break
    return here


def _work() -> None:
    job = json.loads(sys.stdin.read())
    if job["do"] == "beats":
        found = {name: _beats(job["constants"], mit(name), job["leads"]).tolist() for name in job["names"]}
        sys.stdout.write(json.dumps(found))
        return
    records = [mit(name) for name in job["names"]]
    alone = [replace(record, x_mv=record.x_mv[:1]) for record in records]
    constants = descended(PUBLISHED, lambda trial: _goodness(trial, alone, 1), {})
    sys.stdout.write(json.dumps(descended(FUSED, lambda trial: _goodness(trial, records, 2), constants)))


if __name__ == "__main__":
    _work()
