"""Attempts counted in a sliding minute: failed sign-ins by login and address, whatever needs no sign-in by address."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from telemed.errors import TelemedError

WINDOW_SECONDS = 60.0
PER_ACCOUNT = 5  # failed sign-ins a minute for one login
PER_ADDRESS = 30  # failed sign-ins a minute from one address: a ward behind one router still gets in
VISITS_PER_ADDRESS = 300  # looks at tickets and joins a minute: a hospital's patients behind one router, reloading
CONSENTS_PER_SEAT = 20  # a minute: a change of mind, and its change; more would bury what was said before
PLACES_PER_SEAT = 60  # a minute: a page that keeps what is typed
DENIALS_PER_ADDRESS = 60  # refusals a minute of nobody in particular that the audit keeps; more are counted alone
KEYS_KEPT = 20_000  # logins and addresses remembered; the longest unused is forgotten first


class TooManyAttempts(TelemedError):
    """Too many attempts; ``seconds`` says when to try again."""

    code = "too_many_attempts"
    status = 429


class Limits:
    """Attempts of the last minute. ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counted: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, login: str, address: str) -> float:
        """Count a sign-in as failed until :meth:`passed`. Raises ``TooManyAttempts``."""
        return self._count((f"login:{login.lower()}", PER_ACCOUNT), (f"address:{address}", PER_ADDRESS))

    def passed(self, login: str, address: str, attempt: float) -> None:
        """The attempt of :meth:`begin` had the right password: it does not count."""
        for key in (f"login:{login.lower()}", f"address:{address}"):
            window = self._counted.get(key)
            if window is not None and attempt in window:
                window.remove(attempt)

    def count(self, what: str, address: str, most: int) -> None:
        """Count one ``what`` of this address, of at most ``most`` a minute. Raises ``TooManyAttempts``."""
        self._count((f"{what}:{address}", most))

    def _count(self, *wanted: tuple[str, int]) -> float:
        now = self._clock()
        windows = [(self._window(key, now), bound) for key, bound in wanted]
        for window, bound in windows:
            if len(window) >= bound:
                raise TooManyAttempts(seconds=max(1, round(window[0] + WINDOW_SECONDS - now)))
        for window, _ in windows:
            window.append(now)
        return now

    def _window(self, key: str, now: float) -> deque[float]:
        window = self._counted.setdefault(key, deque())
        self._counted.move_to_end(key)
        while window and window[0] <= now - WINDOW_SECONDS:
            window.popleft()
        while len(self._counted) > KEYS_KEPT:
            self._counted.popitem(last=False)
        return window
