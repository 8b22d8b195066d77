"""The other libraries' process, and what they answered before (by library version, way of calling and signal)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _signal_records import ROOT, Array, Places

PYTHON: Final = ROOT / "build" / "libraries" / "bin" / "python"
KEPT: Final = ROOT / "build" / "signal" / "libraries"


class Libraries:
    """Asks the libraries' process, one job after another; used with ``with``."""

    def __init__(self) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("_signal_libraries.py")
        self._process = subprocess.Popen(
            [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
        )
        self.versions: dict[str, str] = self._read()
        self.failed: list[str] = []

    def __enter__(self) -> Libraries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def found(self, method: str, name: str, x: Array, rate_hz: float) -> Places:
        """Places in samples that the method finds; none where it fails, which is noted."""
        kept = KEPT / self.versions[method] / f"{method.replace(' ', '_')}-{name}-{rate_hz:.0f}-{_digest(x)}.json"
        if not kept.exists():
            told = self._ask("found", method, x, rate_hz)
            if "error" in told:
                self.failed.append(f"{method}, {name}: {told['error']}")
                return np.zeros(0, dtype=np.int64)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(told))
        return np.array(json.loads(kept.read_text())["found"], dtype=np.int64)

    def speed(self, method: str, x: Array, rate_hz: float) -> dict[str, float]:
        """Seconds of the whole and of a ten-second window, and the reference of the same run; never kept."""
        return dict(self._ask("speed", method, x, rate_hz))

    def _ask(self, what: str, method: str, x: Array, rate_hz: float) -> dict[str, Any]:
        file = KEPT / f"signal-{os.getpid()}.npy"
        np.save(file, np.ascontiguousarray(x, dtype=np.float64))
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(
                json.dumps({"do": what, "method": method, "file": str(file), "rate_hz": rate_hz}) + "\n")
            self._process.stdin.flush()
            return self._read()
        finally:
            file.unlink()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("The libraries' process ended. Its last words are above.")
        return dict(json.loads(line))


def _digest(x: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:12]
