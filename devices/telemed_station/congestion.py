"""How the kernel sends what the station measured: by BBR, where it has it; and how much of it waits on the way.

A sender that takes each loss for a full line stands still on one that loses packets by nature. Measured on 512 kbit/s,
300 ms and 5 % loss, 25 messages of 600 bytes a second: by cubic 14 to 19 % came more than 1.5 s late, by BBR none.
asyncio itself sets TCP_NODELAY.
"""

from __future__ import annotations

import socket
import sys
from collections import deque
from typing import Any

import structlog

try:
    import fcntl
    import termios

    SIOCOUTQ: int | None = termios.TIOCOUTQ if sys.platform == "linux" else None  # tcp(7): the same number
except ImportError:  # no Unix
    SIOCOUTQ = None

BBR = b"bbr"  # its name in the kernel (tcp_bbr.c)
MESSAGES_MOST = 4_096  # written and not acknowledged; the kernel's buffer holds no more of 600 bytes
STANDING_S = 1.0  # a message that waits for a lost packet waits for less than this beyond its round trip
FRAMING_BYTES = 8  # RFC 6455 section 5.2: a client's header before 126 to 65,535 bytes
WAY_MOST_S = 0.7  # a satellite's round trip; what is longer is a queue
MIN_RTT_AT = 148  # linux/tcp.h, struct tcp_info: tcpi_min_rtt, µs, since Linux 4.6

log = structlog.get_logger("telemed.station.congestion")

_told: set[str] = set()


def prefer_bbr(found: Any) -> bool:
    """Send on this socket by BBR. False, and it goes on as it was, where the kernel does not offer it to us."""
    choose = getattr(socket, "TCP_CONGESTION", None)  # Linux alone
    if choose is None or found is None or not hasattr(found, "setsockopt"):
        return False
    try:
        found.setsockopt(socket.IPPROTO_TCP, choose, BBR)
    except OSError as error:
        if "refused" not in _told:
            _told.add("refused")
            log.info("no_bbr", reason=error.strerror)
        return False
    return True


def waiting(found: Any) -> tuple[int, float] | None:
    """Bytes on this socket that the other side's kernel does not have, sent or not, and the way's least round trip in
    seconds. None where nobody can say."""
    if SIOCOUTQ is None or found is None:
        return None
    try:
        answer = fcntl.ioctl(found.fileno(), SIOCOUTQ, bytes(4))
        info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, MIN_RTT_AT + 4)
    except (OSError, ValueError):  # closed meanwhile
        return None
    least_us = int.from_bytes(info[MIN_RTT_AT : MIN_RTT_AT + 4], sys.byteorder)  # all ones before the first
    return int.from_bytes(answer, sys.byteorder), min(least_us / 1e6, WAY_MOST_S)


class Behind:
    """How far what was written waits on the way beyond its length: a line that is full, as the sender sees it first.

    A message ages from when it was written until the other side's kernel has it. The least age of a second counts: one
    lost packet delays for less, a queue that stands delays everything. Pure; ``now_s`` is any steady clock.
    """

    def __init__(self) -> None:
        self._written: deque[tuple[float, int]] = deque(maxlen=MESSAGES_MOST)
        self._looks: deque[tuple[float, float]] = deque()  # when, age of the oldest
        self.now_s = 0.0  # how far at the last look, a lost packet's delay among it

    def wrote(self, now_s: float, size_bytes: int) -> None:
        """A message is given to the kernel."""
        self._written.append((now_s, size_bytes + FRAMING_BYTES))

    def look(self, now_s: float, waiting_bytes: int, way_s: float) -> float:
        """How far it is behind, in seconds, when so many bytes wait on a way of this round trip. Ask often."""
        kept = 0
        for _, size in reversed(self._written):
            if waiting_bytes <= 0:
                break
            waiting_bytes -= size
            kept += 1
        while len(self._written) > kept:
            self._written.popleft()
        age_s = now_s - self._written[0][0] if self._written else 0.0
        self.now_s = max(0.0, age_s - way_s)
        self._looks.append((now_s, age_s))
        while self._looks[0][0] < now_s - STANDING_S:
            self._looks.popleft()
        if now_s - self._looks[0][0] < STANDING_S / 2:
            return 0.0  # too short to say that it stands
        return max(0.0, min(age for _, age in self._looks) - way_s)
