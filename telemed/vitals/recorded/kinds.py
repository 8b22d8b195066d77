"""Which of the live analyses a recorded channel gets, by its name and unit. docs/signal.md has the table.

Names are those of PhysioNet's databases, of EDF+ ("standard texts": a type, then what it is of) and of our own export.
When a name says nothing and the unit is millivolts, it is an ECG: header(5) knows no other default.
"""

from __future__ import annotations

import re
from typing import Final

VOLTS: Final = ("uV", "mV", "V")
LEADS: Final = (
    "I", "II", "III", "aVR", "aVL", "aVF", *(f"V{n}" for n in range(1, 10)), "V3R", "V4R", "V5R", "V6R",
    "MLI", "MLII", "MLIII", "ML5", "CM1", "CM2", "CM4", "CM5", "CC5", "MV1", "MV2", "MCL1", "MCL6", "V",
)  # fmt: skip
"""One spelling of each; ``telemed_signal.analysis.LEADS`` says which are looked at first."""
PREFIX: Final = re.compile(r"(?:(?:ECG|EKG|ЕКГ|LEAD)[\s_:.-]+)+(?=\S)", re.IGNORECASE)
ECG: Final = re.compile(r"(?:ECG|EKG|ЕКГ)", re.IGNORECASE)
PLETH: Final = re.compile(r"(?:PLETH|PPG|BVP|PULSE WAVE)", re.IGNORECASE)
RESPIRATION: Final = re.compile(
    r"(?:RESP|IMPEDANCE|IMP\b|THOR|ABDO|ABD\b|THO\b|CHEST|EFFORT)", re.IGNORECASE)
OTHER: Final = re.compile(
    r"(?:EEG|EOG|EMG|ERG|MEG|MCG|GSR|EDA|ABP|ART|PAP|CVP|ICP|BP\b|NIBP|FLOW|CO2|ETCO2|SAO2|SPO2|O2|TEMP|HR\b|PR\b|"
    r"ACC|GYR|POS|SNORE|SOUND|PCG|AUDIO|MARK|EVENT|STATUS|TRIG|DC\d|NOISE)", re.IGNORECASE)  # fmt: skip


def lead_of(name: str) -> str:
    """The lead's name in its one spelling: ``ECG lead ii,`` is ``II``. What is no known lead stays as it is."""
    bare = PREFIX.sub("", name.strip(" ,;")).strip(" ,;")
    return next((lead for lead in LEADS if lead.lower() == bare.lower()), bare or name)


def is_lead(name: str) -> bool:
    """Whether the name alone says that it is an ECG."""
    return lead_of(name) in LEADS or ECG.match(name.strip(" ,;")) is not None


def kind_of(name: str, unit: str) -> str | None:
    """``ecg``, ``pleth`` or ``respiration``; None for what no analysis here is for."""
    bare = name.strip(" ,;")
    if is_lead(bare):
        return "ecg" if unit in VOLTS else None
    if RESPIRATION.match(bare):
        return "respiration"
    if PLETH.match(bare):
        return "pleth"
    return "ecg" if unit == "mV" and not OTHER.match(bare) else None
