"""What a station refuses, each with a stable code; the sentences are ``error.<code>`` of the catalogues.

``params`` fill the sentence. They name files, addresses and numbers, never a person or a sample.
"""

from __future__ import annotations

from typing import ClassVar


class StationError(Exception):
    """The station program cannot do what it was asked."""

    code: ClassVar[str] = "station_failed"

    def __init__(self, **params: str | int) -> None:
        super().__init__(f"{self.code}: " + ", ".join(f"{name}={value}" for name, value in params.items()))
        self.params: dict[str, str | int] = dict(params)


class HomeInUse(StationError):
    """Another station program already works in this data folder."""

    code = "station_home_in_use"


class SpoolDamaged(StationError):
    """The spool file cannot be read; it was left as it is."""

    code = "station_spool_damaged"


class SpoolUnwritable(StationError):
    """The spool file is there but may not be written, or another program holds it."""

    code = "station_spool_unwritable"


class SpoolFull(StationError):
    """The spool has reached its bound, or the disk has; nothing was written and nothing was deleted."""

    code = "station_spool_full"


class DeviceUnknown(StationError):
    """No driver has this name."""

    code = "station_device_unknown"


class ScenarioUnknown(StationError):
    """The simulator knows no such scenario."""

    code = "station_scenario_unknown"


class RecordingUnreadable(StationError):
    """The file holds no original ECG waveform that can be replayed."""

    code = "station_recording_unreadable"


class CameraUnavailable(StationError):
    """The picture or sound source cannot be opened."""

    code = "station_camera_unavailable"
