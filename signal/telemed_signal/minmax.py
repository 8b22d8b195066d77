"""Many samples to few columns: the least and the greatest of each, and nothing made up where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from telemed_signal.faults import BlockShape

Samples = npt.NDArray[np.signedinteger[Any]]


def columns(samples: Samples, first: int, edges: npt.ArrayLike) -> tuple[Samples, Samples]:
    """Minima and maxima of each column, two arrays (channels, columns) of the samples' dtype.

    ``samples`` is lead-major (channels, n), ``first`` the index of its first sample since the epoch began, and
    column i holds the indices ``edges[i] <= index < edges[i + 1]`` (``edges`` never falls). The dtype's
    minimum means missing on both sides: it is never an extreme, and fills a column without a sample.
    """
    bounds = np.asarray(edges, dtype=np.int64)
    if samples.ndim != 2 or bounds.ndim != 1 or bounds.size < 1 or bool((np.diff(bounds) < 0).any()):
        raise BlockShape("samples are (channels, n) and edges an array that never falls")
    channels, n = samples.shape
    missing, greatest = np.iinfo(samples.dtype).min, np.iinfo(samples.dtype).max
    mins = np.full((channels, bounds.size - 1), missing, dtype=samples.dtype)
    maxs = mins.copy()
    cuts = np.clip(bounds - first, 0, n)
    filled = np.flatnonzero(cuts[1:] > cuts[:-1])
    if channels == 0 or filled.size == 0:
        return mins, maxs
    # Columns are contiguous, so the start of each filled one ends the filled one before it; only the last
    # needs an end, which cutting the array gives it.
    starts, stop = cuts[filled], int(cuts[filled[-1] + 1])
    inside = samples[:, :stop]
    maxs[:, filled] = np.maximum.reduceat(inside, starts, axis=1)
    least = np.minimum.reduceat(np.where(inside == missing, greatest, inside), starts, axis=1)
    mins[:, filled] = np.where(maxs[:, filled] == missing, missing, least)
    return mins, maxs


def combine(one: tuple[Samples, Samples], other: tuple[Samples, Samples]) -> tuple[Samples, Samples]:
    """The columns of two stretches of one signal laid over each other: missing only where both are."""
    mins_a, mins_b = one[0], other[0]
    missing = np.iinfo(mins_a.dtype).min
    if mins_a.shape != mins_b.shape or mins_a.dtype != mins_b.dtype:
        raise BlockShape("columns of one signal have one shape and one dtype")
    mins = np.where(mins_a == missing, mins_b, np.where(mins_b == missing, mins_a, np.minimum(mins_a, mins_b)))
    return mins, np.maximum(one[1], other[1])
