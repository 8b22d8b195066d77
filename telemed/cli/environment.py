"""Settings for a command: the environment, then the command's own options over it."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemed.cli.errors import SettingsInvalid

if TYPE_CHECKING:
    from telemed.settings import Settings

LOG_LEVEL = 30  # logging.WARNING for the libraries; our own events are all told


def load_settings(**options: object) -> Settings:
    """The settings; options that are None leave the environment's word. Raises ``SettingsInvalid``."""
    from pydantic import ValidationError

    from telemed.settings import Settings

    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        shown = name if name.isupper() else f"TELEMED_{name.upper()}"
        raise SettingsInvalid(name=shown, value=str(first["input"])[:80]) from None
    _keep_machine_code(settings)
    return settings


def _keep_machine_code(settings: Settings) -> None:
    """Where nothing can be written beside the program, have compiled kernels kept beside the data.

    Read by telemed_signal.compiled when it is loaded, which is later and slow: its ``BESIDE`` is said again here.
    """
    found = find_spec("telemed_signal")
    package = found.submodule_search_locations if found is not None else None
    if not package:
        return
    beside = Path(package[0], "__pycache__", "compiled")
    there = next(folder for folder in (beside, *beside.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.home / "cache" / "compiled"))


def say(text: str) -> None:
    """Print one line at once; a terminal that was closed meanwhile is no error."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def log_as_lines() -> None:
    """Have every log event, ours and the libraries', be one JSON line on standard error."""
    import logging

    import structlog

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=LOG_LEVEL, force=True)
