"""When each data record of an EDF+ file began: the first annotation of each (EDF+ section 2.2.4).

``onset`` takes any bytes and returns seconds, or None where they do not say.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

MAX_TAL_BYTES: Final = 64
"""Of a time-keeping annotation: sign, digits, point, digits and the three marks."""
TIMEKEEPING: Final = re.compile(rb"([+-][0-9]{1,12}(?:\.[0-9]{1,12})?)\x14\x14")


def onset(annotations: bytes) -> Fraction | None:
    """Seconds since the file's start time at which the record of these annotations begins."""
    found = TIMEKEEPING.match(annotations[:MAX_TAL_BYTES])
    return None if found is None else Fraction(found[1].decode("ascii"))
