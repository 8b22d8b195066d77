"""Opens a recording by its name: finds what it is by its content, and the files that belong to it beside it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telemed_devices import edf, wfdb
from telemed_devices.recording import Recording, RecordingError

from telemed.cli.errors import RecordingNotOpened

MAX_BYTES: Final = 2 << 30
"""Of all files of a recording: a day of twelve leads at 500 Hz is half of it."""
HEADER: Final = ".hea"


@dataclass(frozen=True, slots=True)
class Opened:
    """A recording, and every file that it was read from."""

    recording: Recording
    files: frozenset[Path]


def open_recording(path: Path) -> Opened:
    """Read ``path``: EDF or BDF, or a WFDB record by its header, a signal file of the same name or its bare name.

    Raises ``RecordingNotOpened`` (it cannot be read) and ``RecordingError`` (it is no recording).
    """
    header = path if path.suffix.lower() == HEADER else path.with_name(f"{path.name}{HEADER}")
    try:
        if header == path or (header.exists() and not path.exists()):
            return _record(header)
        if edf.is_edf(_read(path, MAX_BYTES, first=8)):
            return Opened(edf.decode(_read(path, MAX_BYTES)), frozenset({path.resolve()}))
        header = header if header.exists() else path.with_suffix(HEADER)
        if not header.exists():
            raise RecordingError
        return _record(header)
    except RecordingError as error:
        error.params.setdefault("file", path.name)
        raise


def _record(header: Path) -> Opened:
    files = {header.name: _read(header, MAX_BYTES)}
    left = MAX_BYTES - len(files[header.name])
    absent: set[str] = set()
    while wanted := [name for name in wfdb.needs(header.name, files) if name not in absent]:
        for name in wanted:
            beside = header.with_name(name)
            if beside.is_file():
                files[name] = _read(beside, left)
                left -= len(files[name])
            else:
                absent.add(name)
    read = frozenset(header.with_name(name).resolve() for name in files)
    return Opened(wfdb.decode(header.name, files), read)


def _read(path: Path, most: int, first: int | None = None) -> bytes:
    """The file, at most ``most`` bytes long, or its ``first`` bytes."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device would be waited for, or never end
            raise RecordingNotOpened(file=str(path), reason="not a file")
        if found.st_size > most:
            raise RecordingNotOpened(file=str(path), reason=f"larger than {MAX_BYTES >> 30} GiB")
        with path.open("rb") as file:
            return file.read(most if first is None else first)
    except OSError as error:
        raise RecordingNotOpened(file=str(path), reason=error.strerror or type(error).__name__) from None
