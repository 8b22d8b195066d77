"""WFDB records (PhysioNet; header(5) and signal(5) of the WFDB Applications Guide): header and signal files to values.

``needs`` says which files a record consists of, ``decode`` reads them. A record is one segment or many.
"""

from __future__ import annotations

from telemed_devices.wfdb.record import decode, needs

__all__ = ["decode", "needs"]
