"""Why a window is not exported."""

from __future__ import annotations

from telemed.vitals.faults import SocketRefusal


class ExportEmpty(SocketRefusal):
    """Nothing that was measured is stored of the window."""

    code = "export_empty"
    status = 404


class ExportNotMeasured(SocketRefusal):
    """All that is stored of the window is a recording that was played back, or simulated: no patient's own signals."""

    code = "export_not_measured"
    status = 409


class ExportTooWide(SocketRefusal):
    """The format cannot carry the samples of a signal exactly: EDF has 16 bits and eight characters for its ends."""

    code = "export_too_wide"
    status = 409


class ExportTooLong(SocketRefusal):
    """The window is empty, longer than ``hours``, or has more samples than this format is written with."""

    code = "export_too_long"
    status = 400


class ExportsBusy(SocketRefusal):
    """As many exports are made as are made at a time."""

    code = "exports_busy"
    status = 503
