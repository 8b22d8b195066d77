"""Limb leads computed from I and II, and what recorded ones say about them.

III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (Einthoven 1908, Goldberger 1942): the limb
leads are differences of three electrodes, so two of them hold all six. Computed in integers on the grid of I and II;
a half rounds to the even number. A derived lead is named as such wherever it goes, and is missing where I or II is.

What a comparison with recorded leads can find: channels under a wrong name or sign, a filter or delay of its own, a
saturated amplifier. What it cannot: electrodes on the wrong limb, for they obey the same law. Those show in the shape
(:func:`check_electrodes`), and only in some cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from telemed_signal.faults import BlockShape, GridsDiffer

Array = npt.NDArray[np.float64]
Samples = npt.NDArray[np.signedinteger[Any]]

DISAGREE_MV: Final = 0.02
"""Root mean square beyond which a recorded lead is another: a fifth of a millimetre of paper. Leads rounded to 5 uV
differ by less than 0.005; those of two makers' recordings by 0.0004."""
OUTLIER_MV: Final = 0.3
"""And the greatest difference: 3 mm. Two converters that sample apart by a millisecond differ by less on a QRS."""
LEAST_S: Final = 2.0
"""Shorter is not compared: a QRS may be missing."""
FLAT_MV: Final = 0.1
"""Peak to peak over a limb lead: below it two of its electrodes are both on legs (Haisty, Am J Cardiol 1988)."""
OPPOSITE: Final = -0.6
"""Correlation of I with V6, which look at the heart from the same side: below it the arm wires are exchanged."""


@dataclass(frozen=True, slots=True)
class DerivedLead:
    """A lead that nobody recorded: (``of_i`` x I + ``of_ii`` x II) / 2, in counts; ``formula`` says it in words."""

    name: str
    of_i: int
    of_ii: int
    formula: str


DERIVED: Final = (
    DerivedLead("III", -2, 2, "II - I"),
    DerivedLead("aVR", -1, -1, "-(I + II) / 2"),
    DerivedLead("aVL", 2, -1, "I - II / 2"),
    DerivedLead("aVF", -1, 2, "II - I / 2"),
)
"""In the order in which a sheet prints them, which is that of :func:`derive`'s rows."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How counts become values: ``gain`` x count + ``offset``, in the unit of the lead."""

    gain: float
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """A recorded lead beside the derived one: millivolts over the samples that both have.

    ``reason`` is None, ``leads_disagree`` or ``too_short``.
    """

    name: str
    samples: int
    max_mv: float
    rms_mv: float
    reason: str | None = None


def grids(one: Grid, two: Grid) -> tuple[Grid, ...]:
    """The grid of each derived lead. Raises ``GridsDiffer`` unless I and II have one gain."""
    if one.gain != two.gain:
        raise GridsDiffer(f"I has {one.gain} a count, II {two.gain}")
    return tuple(Grid(one.gain, (lead.of_i * one.offset + lead.of_ii * two.offset) / 2) for lead in DERIVED)


def derive(one: Samples, two: Samples) -> Samples:
    """Counts of I and II, (n,) each of one dtype, int16 or int32, to (4, n): III, aVR, aVL, aVF.

    A half goes to the even number. int16 when every number fits, else int32, which then stops at its ends. The
    dtype's minimum means missing on both sides and is nothing else. The same for any cutting of the signal, but for
    the dtype.
    """
    if one.ndim != 1 or one.shape != two.shape or one.dtype != two.dtype or one.dtype.kind != "i":
        raise BlockShape("I and II are one-dimensional, of one length and one integer type")
    hole = np.iinfo(one.dtype).min
    missing = (one == hole) | (two == hole)
    i, ii = one.astype(np.int64), two.astype(np.int64)
    twice = np.stack([lead.of_i * i + lead.of_ii * ii for lead in DERIVED])
    floor = twice >> 1
    counts = floor + (twice & floor & 1)
    counts[:, missing] = 0
    fits = counts.size == 0 or int(np.abs(counts).max()) <= np.iinfo(np.int16).max
    info = np.iinfo(np.int16 if fits and one.dtype.itemsize == 2 else np.int32)
    out: Samples = np.clip(counts, info.min + 1, info.max).astype(info.dtype)
    out[:, missing] = info.min
    return out


def check(leads_mv: Mapping[str, npt.ArrayLike], rate_hz: float) -> tuple[Agreement, ...]:
    """Each recorded III, aVR, aVL, aVF against what I and II make of it, in the order of ``DERIVED``.

    ``leads_mv`` names millivolts (n,) of one time, NaN where missing; I and II must be there. Offsets of the
    converters count for nothing: the median difference is taken away first.
    """
    one, two = _lead(leads_mv, "I"), _lead(leads_mv, "II")
    found = []
    for lead in DERIVED:
        if lead.name not in leads_mv:
            continue
        apart = _lead(leads_mv, lead.name) - (lead.of_i * one + lead.of_ii * two) / 2
        apart = apart[np.isfinite(apart)]
        if apart.size < LEAST_S * rate_hz:
            found.append(Agreement(lead.name, apart.size, 0.0, 0.0, "too_short"))
            continue
        apart = apart - np.median(apart)
        most, rms = float(np.abs(apart).max()), float(np.sqrt(np.mean(apart**2)))
        reason = "leads_disagree" if rms > DISAGREE_MV or most > OUTLIER_MV else None
        found.append(Agreement(lead.name, apart.size, most, rms, reason))
    return tuple(found)


def check_electrodes(leads_mv: Mapping[str, npt.ArrayLike], rate_hz: float) -> str | None:
    """What the shape says of exchanged electrodes: ``leg_wire_exchanged``, ``arm_wires_exchanged``, or None.

    Looks at I, II and V6 (those which there are), millivolts (n,) of one time, NaN where missing, in a band without
    the baseline's wander. A hint to look at the wires, not a finding: a heart on the right side exchanges the arms as
    well, and left arm with left leg shows in no such rule.
    """
    limbs = [_lead(leads_mv, name) for name in ("I", "II") if name in leads_mv]
    if len(limbs) == 2:
        limbs.append(limbs[1] - limbs[0])
    whole = [lead[np.isfinite(lead)] for lead in limbs]
    if not whole or min(lead.size for lead in whole) < LEAST_S * rate_hz:
        return None
    heights = [float(np.ptp(lead)) for lead in whole]
    if len(heights) == 3 and min(heights) < FLAT_MV and sorted(heights)[1] >= 2 * FLAT_MV:
        return "leg_wire_exchanged"
    if "I" in leads_mv and "V6" in leads_mv:
        one, six = limbs[0], _lead(leads_mv, "V6")
        both = np.isfinite(one) & np.isfinite(six)
        if both.sum() >= LEAST_S * rate_hz and np.ptp(one[both]) >= 2 * FLAT_MV and np.ptp(six[both]) >= 2 * FLAT_MV:
            alike = float(np.corrcoef(one[both], six[both])[0, 1])
            if alike < OPPOSITE:
                return "arm_wires_exchanged"
    return None


def _lead(leads_mv: Mapping[str, npt.ArrayLike], name: str) -> Array:
    if name not in leads_mv:
        raise BlockShape(f"lead {name} is not there")
    return np.asarray(leads_mv[name], dtype=np.float64)
