"""Our constants as they were found on either half alone, so that the other half's score is of records never seen.

``TUNED["A"]`` are the constants found on half A, by ``module.NAME``, where they differ from those shipped. They run
in a process of their own, from a copy of the library with these lines changed: compiled code has its constants in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from _signal_records import ROOT, Ecg, Places, mit

TUNED: Final[dict[str, dict[str, float]]] = {"A": {}, "B": {}}
COPIES: Final = ROOT / "build" / "signal" / "tuned"
LIBRARY: Final = ROOT / "signal" / "telemed_signal"


def copied(half: str) -> Path:
    """A copy of the library with the half's constants; the folder to put before the others."""
    place = COPIES / half
    wanted = dict(_changed(half))
    fresh = place / "telemed_signal"
    if fresh.exists() and all((fresh / name).read_text() == text for name, text in wanted.items()):
        return place
    shutil.rmtree(place, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, text in wanted.items():
        (fresh / name).write_text(text)
    return place


def _changed(half: str) -> Iterator[tuple[str, str]]:
    left = dict(TUNED[half])
    for file in sorted(LIBRARY.glob("*.py")):
        text = file.read_text()
        for name in [name for name in left if name.split(".")[0] == file.stem]:
            line = re.compile(rf"^({re.escape(name.split('.')[1])}: Final = )[^\s#]+", re.MULTILINE)
            text, changed = line.subn(rf"\g<1>{left.pop(name)!r}", text)
            if changed != 1:
                raise ValueError(f"{name} is not a constant of the library")
        yield file.name, text
    if left:
        raise ValueError(f"no such constants: {sorted(left)}")


def beats_of(half: str, names: Sequence[str], leads: int, block_s: float) -> dict[str, Places]:
    """The beats of these records, found with the constants of a half, from one lead or two fused."""
    folder = copied(half) if TUNED[half] else ROOT / "signal"
    job = {"names": list(names), "leads": leads, "block_s": block_s}
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent)])},
    )
    return {name: np.array(places, dtype=np.int64) for name, places in json.loads(done.stdout).items()}


def _work() -> None:
    from _signal_ours import fused_beats, lead_beats

    job = json.loads(sys.stdin.read())
    found = {}
    for name in job["names"]:
        record: Ecg = mit(name)
        if job["leads"] == 1:
            places = lead_beats(record.x_mv[0], record.rate_hz, job["block_s"])
        else:
            fused = fused_beats(record.x_mv, record.rate_hz, job["block_s"])
            assert fused is not None
            places = fused
        found[name] = places.at.tolist()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _work()
