"""Functions compiled to machine code: the numbers of the plain Python that they are written in, bit for bit.

No reordering of arithmetic (``fastmath`` is off) and no fused multiply-add, so what scipy computes in the same order
is equal to the last bit; the interpreter's lock is free meanwhile. The first start on a machine compiles (a second a
function) and keeps the code in ``NUMBA_CACHE_DIR``, else beside the module or, where that cannot be written, in the
user's own cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])


def received(width: int) -> types.Type:
    """A lead-major array of int16 or int32 (``width`` bytes) in a message's own bytes: read only, at any address."""
    element: Any = {2: types.int16, 4: types.int32}[width]
    return types.Array(element, 2, "A", readonly=True, aligned=False)


def compiled(*signatures: Any) -> Callable[[Function], Function]:
    """Compile for these argument types when the module is loaded; without any, as a part of its callers."""

    def make(function: Function) -> Function:
        given = list(signatures) if signatures else None
        return cast(Function, numba.njit(given, cache=True, nogil=True, fastmath=False)(function))

    return make
