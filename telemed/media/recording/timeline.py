"""When a packet belongs in a recording: by the publisher's clock, which its sender reports tell. Pure.

Before the first report of a line its packets stand where they came. Reports then move it: a first one, or one that
is far off, at once, later ones slowly, so that neither a report that was sent late nor a sound card that is not quite
right tears the sound. All times are microseconds; the publisher's are its own stamps (docs/protocol.md section 1).
"""

from __future__ import annotations

STEP_US = 200_000  # a report that is off by more is believed at once: no clock drifts so far in between
SLEW_US = 1_000  # a report moves a line by this much at most; 1,000 ppm at one a second, ten times a bad sound card
CLOCK_SET_US = 2_000_000  # a report that is off by more tells of a clock that was set, which no stamp ever is
STRAY_US = 2_000_000  # a line that runs so far from when its packets come has lost its time: it begins anew
NTP_UNIX_SECONDS = 2_208_988_800  # 1900-01-01 to 1970-01-01, RFC 868


class Span:
    """A recording's time. ``began_us`` is when its first packet came (0: none has), ``stamp_us`` the publisher's stamp
    of the same moment once a report told it; ``torn``: the publisher's clock was set since, so it tells nothing."""

    def __init__(self) -> None:
        self.began_us = 0
        self.stamp_us: int | None = None
        self.torn = False

    def begin(self, at_us: int) -> None:
        """The first packet came; every later one changes nothing."""
        self.began_us = self.began_us or at_us


class Line:
    """The time line of one kind and layer."""

    def __init__(self, span: Span, clock_hz: int) -> None:
        self._span = span
        self._clock_hz = clock_hz
        self._timestamp: int | None = None
        self._us = 0.0  # where that timestamp is
        self._told = False  # a report said so
        self._waiting: tuple[int, int] | None = None  # a report that came before the first packet

    def place(self, timestamp: int, at_us: int) -> float:
        """Where the packet that came at ``at_us`` belongs, since the recording began."""
        came_us = at_us - self._span.began_us
        if self._timestamp is None:
            self._timestamp, self._us = timestamp, float(came_us)
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                self.report(*waiting)
        us = self._at(timestamp)
        if abs(us - came_us) > STRAY_US:
            us, self._told = float(came_us), False
        ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
        if ahead < 0x80000000:
            self._timestamp, self._us = timestamp, us
        return us

    def report(self, ntp: int, timestamp: int) -> None:
        """The publisher's clock at a timestamp."""
        if self._timestamp is None:
            self._waiting = ntp, timestamp
            return
        stamp_us = round(ntp * 1_000_000 / 2**32) - NTP_UNIX_SECONDS * 1_000_000
        us = self._at(timestamp)
        if self._span.stamp_us is None:
            self._span.stamp_us = stamp_us - round(us)
        off_us = stamp_us - self._span.stamp_us - us
        if abs(off_us) > CLOCK_SET_US:
            self._span.torn = True
        elif not self._told or abs(off_us) > STEP_US:
            self._us += off_us
            self._told = True
        else:
            self._us += max(-SLEW_US, min(SLEW_US, off_us))

    def _at(self, timestamp: int) -> float:
        ahead = (timestamp - (self._timestamp or 0) + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return self._us + ahead * 1_000_000 / self._clock_hz
