"""Devices behind one small interface (``driver.py``): a seeded simulator and a replayed recording."""

from __future__ import annotations

from pathlib import Path

from telemed_station.drivers.driver import Driver
from telemed_station.drivers.recording import read_recording
from telemed_station.drivers.replay import Replay
from telemed_station.drivers.simulator import Simulator
from telemed_station.errors import DeviceUnknown


def open_driver(device: str, *, seed: int, scenario: str, start_us: int, heart_rate: bool = False) -> Driver:
    """The driver that ``--device`` names: ``simulator`` or ``replay:FILE``; its first sample is at ``start_us``."""
    if device == "simulator":
        return Simulator(seed, scenario, start_us, heart_rate=heart_rate)
    kind, _, rest = device.partition(":")
    if kind == "replay" and rest:
        return Replay(read_recording(Path(rest)), seed, scenario, start_us, heart_rate=heart_rate)
    raise DeviceUnknown(device=device)
