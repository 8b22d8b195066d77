"""Functions compiled to machine code: the numbers of the plain Python that they are written in, bit for bit.

No reordering of arithmetic (``fastmath`` is off) and no fused multiply-add, so what scipy computes in the same order
is equal to the last bit; the interpreter's lock is free meanwhile. The first start on a machine compiles (a second a
function) and keeps the code in a folder named after all the sources it was made from, so that changed ones never meet
old code: below ``NUMBA_CACHE_DIR``, else beside the modules. Where that cannot be written the code is kept below the
user's own cache; where nothing can, every start compiles.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE: Final = Path(__file__).parent
BESIDE: Final = PACKAGE / "__pycache__" / "compiled"
PROBE: Final = bytes(1 << 20)
"""Greater than the code of any function: a disk without room for it would end the compiling half-way."""


def _digest() -> str:
    """A name for what machine code is made from: every source of the package, and the compiler.

    numba itself looks only at the file that a function stands in; but the functions that it calls are in its code.
    """
    total = hashlib.sha256(numba.__version__.encode())
    for source in sorted(PACKAGE.glob("*.py")):
        with suppress(OSError):  # an editor's lock, say; what cannot be read is in no code
            total.update(f"\0{source.name}\0".encode() + hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()[:16]


def _bases() -> Iterator[Path]:
    yield Path(os.environ.get("NUMBA_CACHE_DIR") or BESIDE)
    try:
        yield Path.home() / ".cache" / "telemed" / "compiled"
    except RuntimeError:  # a user without a home
        return


def _folder() -> Path | None:
    """The first folder for these sources that can be written; None where there is none."""
    for base in _bases():
        folder = (base / DIGEST).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(PROBE)
        except OSError:
            continue
        return folder
    return None


config: Any = numba.config  # whose names no type checker sees
DIGEST: Final = _digest()
FOLDER: Final = _folder()


def received(width: int) -> types.Type:
    """A lead-major array of int16 or int32 (``width`` bytes) in a message's own bytes: read only, at any address."""
    element: Any = {2: types.int16, 4: types.int32}[width]
    return types.Array(element, 2, "A", readonly=True, aligned=False)


def compiled(*signatures: Any) -> Callable[[Function], Function]:
    """Compile for these argument types when the module is loaded; without any, as a part of its callers."""

    def make(function: Function) -> Function:
        given = list(signatures) if signatures else None
        if FOLDER is not None:
            # Each time: numba reads its environment anew while it compiles, when that has changed.
            config.CACHE_DIR = str(FOLDER)
        return cast(Function, numba.njit(given, cache=FOLDER is not None, nogil=True, fastmath=False)(function))

    return make
