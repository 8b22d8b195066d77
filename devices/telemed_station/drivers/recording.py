"""A recorded ECG as it lies in a DICOM waveform object: the recording's own integers, gains and lead names.

DICOM PS3.3 C.10.9: the first multiplex group whose ``WaveformOriginality`` is ORIGINAL; the derived groups that
ECG carts add are median beats, not rhythm. physical = sample × sensitivity × correction + baseline, in the
sensitivity's unit. Patient attributes are neither kept nor logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from telemed_station.drivers.driver import Channel
from telemed_station.errors import RecordingUnreadable

SAMPLES_MAX = 10_000_000  # a channel: 2.7 h at 1 kHz, far more than any ECG cart writes
CHANNELS_MAX = 32  # docs/protocol.md section 2
_UNITS = {"uV": 1.0, "mV": 1000.0}  # UCUM codes a 12-lead object may use, in µV

# SCPECG lead codes (PS3.16 CID 3001, coding scheme SCPECG 5.6.3-9-n).
_LEADS = {
    "1": "I", "2": "II", "61": "III", "62": "aVR", "63": "aVL", "64": "aVF",
    "3": "V1", "4": "V2", "5": "V3", "6": "V4", "7": "V5", "8": "V6",
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """Samples of shape (channels, n), int16, with ``rate`` samples a second as a fraction."""

    name: str
    rate: tuple[int, int]
    channels: tuple[Channel, ...]
    samples: NDArray[np.int16] = field(repr=False)


def read_recording(path: Path) -> Recording:
    """Read the original ECG of a DICOM file; raises ``RecordingUnreadable`` with the reason."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        for group in dataset.get("WaveformSequence") or ():
            if str(group.get("WaveformOriginality", "")).upper() == "ORIGINAL":
                return _group(path.name, group)
    except RecordingUnreadable:
        raise
    except Exception as error:  # pydicom raises many kinds on hostile bytes
        raise RecordingUnreadable(file=path.name, reason=type(error).__name__) from error
    raise RecordingUnreadable(file=path.name, reason="no original waveform")


def _group(name: str, group: Dataset) -> Recording:
    count, length = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    if not (1 <= count <= CHANNELS_MAX and 1 <= length <= SAMPLES_MAX):
        raise RecordingUnreadable(file=name, reason="size")
    if int(group.WaveformBitsAllocated) != 16 or str(group.WaveformSampleInterpretation) != "SS":
        raise RecordingUnreadable(file=name, reason="sample format")
    data = bytes(group.WaveformData)
    if len(data) < 2 * count * length:
        raise RecordingUnreadable(file=name, reason="truncated")
    samples = np.frombuffer(data, "<i2", count * length).reshape(length, count).T
    rate = float(group.SamplingFrequency)
    if not (20 <= rate <= 8000 and rate == round(rate)):
        raise RecordingUnreadable(file=name, reason="rate")
    definitions = list(group.ChannelDefinitionSequence)
    if len(definitions) != count:
        raise RecordingUnreadable(file=name, reason="channels")
    channels = tuple(_channel(name, definition) for definition in definitions)
    return Recording(name, (round(rate), 1), channels, np.ascontiguousarray(samples, dtype=np.int16))


def _channel(name: str, definition: Dataset) -> Channel:
    source = definition.ChannelSourceSequence[0]
    code = str(source.CodeValue)
    lead = _LEADS.get(code.rsplit("-", 1)[-1]) if code.startswith("5.6.3-9-") else None
    unit = str(definition.ChannelSensitivityUnitsSequence[0].CodeValue)
    if unit not in _UNITS:
        raise RecordingUnreadable(file=name, reason="unit")
    gain = float(definition.ChannelSensitivity) * float(definition.get("ChannelSensitivityCorrectionFactor") or 1)
    offset = float(definition.get("ChannelBaseline") or 0)
    return Channel(lead or str(source.CodeMeaning)[:40], "uV", gain * _UNITS[unit], offset * _UNITS[unit])
