"""The filters of the live views and of review: what they are, the bank that runs them, the integers that leave.

The one place to import from; ``design`` holds the specifications, ``bank`` the running state, ``rounding`` the
way back to integers, ``gaps`` what becomes of missing samples before they reach a filter.
"""

from telemed_signal.bank import FilterBank, Slot, SlotState
from telemed_signal.design import (
    DIAGNOSTIC_ECG,
    ECG,
    HEART_SOUND,
    LUNG_SOUND,
    MAINS,
    MONITOR,
    MONITOR_BAND,
    MONITOR_ECG,
    PLETH,
    RESPIRATION,
    REVIEW_ECG,
    SOUND,
    ST_ECG,
    Butterworth,
    Edge,
    FilterSpec,
    LinearPhase,
    Notch,
    linear_phase,
    with_notch,
    zero_phase,
)
from telemed_signal.gaps import GapHold, Piece
from telemed_signal.rounding import quantise

__all__ = [
    "DIAGNOSTIC_ECG",
    "ECG",
    "HEART_SOUND",
    "LUNG_SOUND",
    "MAINS",
    "MONITOR",
    "MONITOR_BAND",
    "MONITOR_ECG",
    "PLETH",
    "RESPIRATION",
    "REVIEW_ECG",
    "SOUND",
    "ST_ECG",
    "Butterworth",
    "Edge",
    "FilterBank",
    "FilterSpec",
    "GapHold",
    "LinearPhase",
    "Notch",
    "Piece",
    "Slot",
    "SlotState",
    "linear_phase",
    "quantise",
    "with_notch",
    "zero_phase",
]
