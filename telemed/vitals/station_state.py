"""What a connected station says of itself and what is known of its clock: for pages, and as gauges of ``/metrics``.

Stations are told apart by their number there; no gauge carries a name. A station that left has no gauges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from telemed.metrics import REGISTRY
from telemed.vitals.asked import Asked
from telemed.vitals.messages import SpoolState, Status

STATES: Final = get_args(SpoolState)
MICRO: Final = 1e-6

Shown = dict[str, Any]

# Name, what it says, and its value from what is shown of a station (None: not known, no line).
_GAUGES: Final[tuple[tuple[str, str, Callable[[Shown, Shown], float | None]], ...]] = (
    ("waiting_chunks", "Chunks in the station's spool", lambda queue, _: queue["chunks"]),
    ("waiting_bytes", "Bytes of chunks in the station's spool", lambda queue, _: queue["bytes"]),
    ("oldest_waiting_seconds", "Age of the oldest chunk in the station's spool",
     lambda queue, _: queue["oldest_s"] or 0.0),
    ("spool_hours_left", "Hours until the spool is full at the present rate, were the line down",
     lambda queue, _: queue["hours_left"]),
    ("clock_offset_seconds", "The server's clock less the station's stamps",
     lambda _, clock: clock["offset_us"] * MICRO if clock else None),
    ("clock_drift_ppm", "How much faster the station's clock goes than the server's",
     lambda _, clock: clock["drift_ppm"] if clock else None),
)  # fmt: skip


class Stations(Collector):
    """What the connected stations said last; read when somebody asks for the metrics."""

    def __init__(self) -> None:
        self._shown: dict[int, Shown] = {}

    def told(self, station_id: int, status: Status, clock: Asked) -> Shown:
        """The status as pages get it, with ``clock`` (``Asked.told``)."""
        shown = self._shown[station_id] = {**status.model_dump(exclude={"type"}), "clock": clock.told()}
        return shown

    def gone(self, station_id: int) -> None:
        """The station's socket ended."""
        self._shown.pop(station_id, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of every station, by its number."""
        present = sorted(self._shown.items())
        for name, says, value_of in _GAUGES:
            family = GaugeMetricFamily(f"telemed_station_{name}", says, labels=["station"])
            for station_id, shown in present:
                value = value_of(shown["queue"], shown["clock"] or {})
                if value is not None:
                    family.add_metric([str(station_id)], value)
            yield family
        states = GaugeMetricFamily(
            "telemed_station_spool_state", "1 for the state that the station's spool is in", labels=["station", "state"]
        )
        for station_id, shown in present:
            for state in STATES:
                states.add_metric([str(station_id), state], float(shown["queue"]["state"] == state))
        yield states


STATIONS: Final = Stations()
REGISTRY.register(STATIONS)
