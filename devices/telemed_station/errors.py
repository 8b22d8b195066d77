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


class SpoolKeyMissing(StationError):
    """The key file that was named is not there, and a spool that it seals is."""

    code = "station_spool_key_missing"


class SpoolKeyOpen(StationError):
    """The spool's key file can be read by others than its owner."""

    code = "station_spool_key_open"


class SpoolKeyUnusable(StationError):
    """The spool's key file cannot be read or made, or is no key."""

    code = "station_spool_key_unusable"


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


class PeopleFull(StationError):
    """As many people as are kept wait for the line already; nobody was entered."""

    code = "station_people_full"


class NameUnfit(StationError):
    """The name is empty, too long, or holds what is no readable character."""

    code = "station_name_unfit"


class YearUnfit(StationError):
    """The year of birth is none."""

    code = "station_year_unfit"


class NobodyEntered(StationError):
    """Nobody who was entered at this station is there."""

    code = "station_nobody"


class StationOnline(StationError):
    """The station is connected: who is there is confirmed on the operator's page."""

    code = "station_online"


class NotRunning(StationError):
    """No station program answers in this data folder."""

    code = "station_not_running"


class ConsolePath(StationError):
    """The data folder's path is too long for the console's socket."""

    code = "station_console_path"


class ConsoleSilent(StationError):
    """The station program did not answer, or not with what was expected."""

    code = "station_console_silent"
