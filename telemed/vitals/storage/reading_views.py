"""The views of stored waves: as they are, or filtered without delay (zero phase), by a name."""

from __future__ import annotations

from typing import Final, Literal

from telemed_signal.filters import DIAGNOSTIC_ECG, MONITOR, FilterSpec

from telemed.vitals.live import StreamCard

View = Literal["raw", "monitor", "diagnostic"]
RAW: Final = "raw"
FILTERS: Final[dict[str, dict[str, FilterSpec]]] = {
    "monitor": dict(MONITOR), "diagnostic": {"ecg": DIAGNOSTIC_ECG},
}
"""Filter by the view's name and the kind of the stream."""


def filter_of(card: StreamCard, view: str) -> FilterSpec | None:
    """The filter of a view, None for ``raw``. Raises ``KeyError`` when the stream has no such view."""
    if view == RAW:
        return None
    spec = FILTERS[view][card.kind]
    if not spec.supports(card.rate_hz):
        raise KeyError(view)
    return spec
