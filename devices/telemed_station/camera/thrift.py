"""How much of the line picture and voice may have: frame rate gives way first, then the picture, then the voice, and
the vital signs never.

The station knows first that its line is full: by how far its vital signs wait on it. Above ``BEHIND_S`` the picture's
bound is halved, again each ``AGAIN_S`` while that lasts, down to none; then the voice is made smaller. Below ``GOOD_S``
for ``GOOD_FOR_S`` one step is given back. One object for all cameras of a station, which share its line. Pure but for
the clock it is given; read from the encoders' threads.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

BEHIND_S = 0.5
AGAIN_S = 2.0
GOOD_S = 0.2
GOOD_FOR_S = 10.0
START_BITS_S = 300_000  # of a picture before the server has said a word: any line that carries a call
MOST_BITS_S = 1_500_000  # 640 × 360 at 20 frames a second needs no more
LEAST_BITS_S = 40_000  # below it there is no picture worth its bits
BACK_BITS_S = 80_000  # with what a paused picture comes back
VOICE_BITS_S = 32_000  # clear speech with its repair (RFC 7587 section 3.1.1: 16 to 40 kbit/s)
VOICE_LOW_BITS_S = 16_000  # still understood


class Thrift:
    """``behind_s`` says how far the vital signs are behind, in seconds; None while there is no connection."""

    def __init__(
        self, behind_s: Callable[[], float | None] = lambda: None, now_s: Callable[[], float] = monotonic
    ) -> None:
        self._behind_s = behind_s
        self._now_s = now_s
        self._bound = float(MOST_BITS_S)
        self._used = 0.0  # by the picture that has most, since the bound was changed
        self._voice = VOICE_BITS_S
        self._lowered_s = float("-inf")
        self._good_s: float | None = None

    def anew(self) -> None:
        """A new connection, over a line that may be another: as if nothing were known."""
        self._bound, self._used, self._voice, self._good_s = float(MOST_BITS_S), 0.0, VOICE_BITS_S, None

    @property
    def paused(self) -> bool:
        """Whether no picture goes out."""
        return self._bound < LEAST_BITS_S

    def video_bits_s(self, asked: int) -> int:
        """What a picture may have of the ``asked`` bits a second, 0 for none."""
        self._look()
        self._used = max(self._used, min(asked, self._bound))
        return 0 if self.paused else int(min(asked, self._bound))

    def voice_bits_s(self) -> int:
        """What the voice may have."""
        self._look()
        return self._voice

    def _look(self) -> None:
        behind_s, now_s = self._behind_s(), self._now_s()
        if behind_s is None:
            self.anew()  # a line that is cut is not a full one
        elif behind_s > BEHIND_S:
            self._good_s = None
            if now_s - self._lowered_s >= AGAIN_S:
                self._lowered_s = now_s
                self._less()
        elif behind_s >= GOOD_S:
            self._good_s = None
        elif self._good_s is None:
            self._good_s = now_s
        elif now_s - self._good_s >= GOOD_FOR_S:
            self._good_s = now_s
            self._more()

    def _less(self) -> None:
        if self.paused:
            self._voice = VOICE_LOW_BITS_S
        else:
            self._bound = min(self._bound, self._used or START_BITS_S) / 2
            self._used = 0.0

    def _more(self) -> None:
        if self._voice < VOICE_BITS_S:
            self._voice = VOICE_BITS_S
        else:
            self._bound = min(BACK_BITS_S if self.paused else 2 * self._bound, float(MOST_BITS_S))
            self._used = 0.0
