"""EDF, EDF+ and BDF files (Kemp 1992; Kemp and Olivan 2003; BioSemi's 24 bits): one file to values.

``decode`` reads a file, ``is_edf`` tells whether it begins as one.
"""

from __future__ import annotations

from telemed_devices.edf.header import is_edf
from telemed_devices.edf.recording import decode

__all__ = ["decode", "is_edf"]
