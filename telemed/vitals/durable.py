"""Which chunks of one stream are committed: ``through`` and the ranges above it. Pure.

``through`` is the last number of the run that starts at 0 (-1: none). Chunks may come in any order and any
number of times; what comes out depends on the set of numbers alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

RANGES_TOLD = 32  # ranges of one acknowledgement (protocol section 4)
RANGES_KEPT = 4096  # holes of one stream; an honest station has a handful, a hostile one is refused here

Range = tuple[int, int]


class Durable:
    """The committed numbers of one stream as disjoint, ascending, inclusive ranges."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in sorted(ranges):
            self.add(first, last)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._starts, seq) - 1
        return at >= 0 and seq <= self._ends[at]

    def add(self, first: int, last: int | None = None) -> None:
        """Record that ``first`` to ``last`` (inclusive; default: ``first`` alone) are committed."""
        end = first if last is None else last
        if self._ends and first == self._ends[-1] + 1:  # the next of a stream in order, as nearly all are
            self._ends[-1] = end
            return
        low = bisect_right(self._starts, first) - 1
        if low < 0 or self._ends[low] < first - 1:
            low += 1  # does not touch the range before it
        high = bisect_right(self._starts, end + 1)
        if low < high:
            first = min(first, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [end]

    def update(self, seqs: Iterable[int]) -> None:
        """Record that these are committed; cheap for runs of ascending numbers."""
        first, after = 0, 0  # the run so far, its end not included
        for seq in seqs:
            if seq != after:
                if first < after:
                    self.add(first, after - 1)
                first = seq
            after = seq + 1
        if first < after:
            self.add(first, after - 1)

    @property
    def through(self) -> int:
        """The last number of the run from 0, or -1."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else -1

    @property
    def ranges(self) -> list[Range]:
        """The ranges above ``through``, ascending."""
        skip = 1 if self._starts and self._starts[0] == 0 else 0
        return list(zip(self._starts[skip:], self._ends[skip:], strict=True))

    def may_take(self, seq: int) -> bool:
        """Whether ``seq`` keeps the number of ranges within ``RANGES_KEPT``."""
        if len(self._starts) < RANGES_KEPT:
            return True
        at = bisect_right(self._starts, seq)
        below = at > 0 and seq <= self._ends[at - 1] + 1
        above = at < len(self._starts) and self._starts[at] == seq + 1
        return below or above

    def acknowledgements(self, touched: Iterable[int] | None = None) -> Iterator[tuple[int | None, list[Range]]]:
        """Yield (through or None, at most 32 ranges): together they tell every range that holds a touched number.

        ``touched`` None tells everything. There is always at least one.
        """
        through = None if self.through < 0 else self.through
        told = self.ranges
        if touched is not None and len(told) > RANGES_TOLD:
            hit = {bisect_right(self._starts, seq) - 1 for seq in touched}
            told = [(self._starts[at], self._ends[at]) for at in sorted(hit) if self._starts[at] > self.through]
        yield through, told[:RANGES_TOLD]
        for at in range(RANGES_TOLD, len(told), RANGES_TOLD):
            yield through, told[at : at + RANGES_TOLD]
