"""The filters of the live views and of review: what they are, the bank that runs them, the integers that leave.

The one place to import from; ``design`` holds the specifications, ``bank`` the running state, ``rounding`` the
way back to integers, ``gaps`` what becomes of missing samples before they reach a filter.
"""

from telemed_signal.bank import FilterBank, Slot, SlotState
from telemed_signal.design import (
    MONITOR,
    MONITOR_ECG,
    PLETH,
    RESPIRATION,
    Butterworth,
    FilterSpec,
    Notch,
    zero_phase,
)
from telemed_signal.gaps import GapHold, Piece
from telemed_signal.rounding import quantise

__all__ = [
    "MONITOR",
    "MONITOR_ECG",
    "PLETH",
    "RESPIRATION",
    "Butterworth",
    "FilterBank",
    "FilterSpec",
    "GapHold",
    "Notch",
    "Piece",
    "Slot",
    "SlotState",
    "quantise",
    "zero_phase",
]
