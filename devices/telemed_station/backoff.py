"""How long to wait before trying again: short and scattered at first, longer when nobody answers for long.

Full jitter (a uniform draw up to a growing cap) keeps a hundred stations from coming back in the same moment.
"""

from __future__ import annotations

import random

FIRST_S = 0.25
QUICK_S = 1.0  # the cap while the outage is young: a restarted server is found within a second
QUICK_FOR_S = 20.0
LONGEST_S = 5.0


class Backoff:
    """Delays of one outage. ``reset`` when it is over."""

    def __init__(self, draw: random.Random | None = None) -> None:
        self._draw = draw or random.Random()  # noqa: S311 - scatter, not secrecy
        self._cap = FIRST_S
        self._waited = 0.0

    def reset(self) -> None:
        """The outage is over."""
        self._cap = FIRST_S
        self._waited = 0.0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        longest = QUICK_S if self._waited < QUICK_FOR_S else LONGEST_S
        delay = self._draw.uniform(0.1 * self._cap, self._cap)
        self._cap = min(2 * self._cap, longest)
        self._waited += delay
        return delay
