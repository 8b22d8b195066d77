"""What the log may know of an unexpected error: its type and places, never its message or a value."""

from __future__ import annotations

import traceback
from typing import Any, Final

FRAMES_LOGGED: Final = 8  # innermost places of a traceback


def trouble(error: BaseException) -> dict[str, Any]:
    """Fields for a log line. A message or a local variable may hold patient data; places hold none."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED:]
    return {
        "exception": type(error).__name__,
        "places": [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames],
    }
