"""Attempts counted in a sliding minute, for sign-in."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from telemed.errors import TelemedError

WINDOW_SECONDS = 60.0
PER_ACCOUNT = 5  # failed sign-ins a minute for one login
PER_ADDRESS = 30  # failed sign-ins a minute from one address: a ward behind one router still gets in
KEYS_KEPT = 20_000  # logins and addresses remembered; the longest unused is forgotten first


class TooManyAttempts(TelemedError):
    """Too many failed sign-ins; ``seconds`` says when to try again."""

    code = "too_many_attempts"
    status = 429


class Limits:
    """Failed sign-ins of the last minute, by login and by address. ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, login: str, address: str) -> float:
        """Count an attempt as failed until :meth:`passed`. Raises ``TooManyAttempts``."""
        now = self._clock()
        wanted = ((f"login:{login.lower()}", PER_ACCOUNT), (f"address:{address}", PER_ADDRESS))
        windows = [(self._window(key, now), bound) for key, bound in wanted]
        for window, bound in windows:
            if len(window) >= bound:
                raise TooManyAttempts(seconds=max(1, round(window[0] + WINDOW_SECONDS - now)))
        for window, _ in windows:
            window.append(now)
        return now

    def passed(self, login: str, address: str, attempt: float) -> None:
        """The attempt of :meth:`begin` had the right password: it does not count."""
        for key in (f"login:{login.lower()}", f"address:{address}"):
            window = self._failed.get(key)
            if window is not None and attempt in window:
                window.remove(attempt)

    def _window(self, key: str, now: float) -> deque[float]:
        window = self._failed.setdefault(key, deque())
        self._failed.move_to_end(key)
        while window and window[0] <= now - WINDOW_SECONDS:
            window.popleft()
        while len(self._failed) > KEYS_KEPT:
            self._failed.popitem(last=False)
        return window
