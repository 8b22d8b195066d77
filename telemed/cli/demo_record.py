"""What the demo must remember of its first start: passwords, the station's key, the patients.

``demo.json`` in the data folder, readable by its owner alone, written whole or not at all. A password is kept
before its account is made, so a first start that is interrupted anywhere goes on at the next.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

FILE_NAME = "demo.json"
OWNER_ONLY = 0o600
PASSWORD_LENGTH = 12  # of 31 characters: 59 random bits
EASY_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read for something else
LOGINS = {
    "demo-clinician": "clinician",
    "demo-clinician-2": "clinician",
    "demo-operator": "operator",
    "demo-admin": "administrator",
    "demo-auditor": "auditor",
}


@dataclass(frozen=True, slots=True)
class DemoRecord:
    """Logins and passwords; the station and its key and the patients' ids once they are made.

    ``patients`` come to the station in turn; ``at_home`` is the patient who joins by a link; ``visits`` says that all
    that a visit from home needs is made.
    """

    passwords: dict[str, str] = field(repr=False)
    station_id: int | None = None
    station_key: str | None = field(default=None, repr=False)
    patients: tuple[str, ...] = ()
    at_home: str | None = None
    visits: bool = False

    def with_station(self, station_id: int, key: str) -> DemoRecord:
        """The record once the station is made."""
        return replace(self, station_id=station_id, station_key=key)

    def with_patient(self, patient_id: str) -> DemoRecord:
        """The record with one more patient."""
        return replace(self, patients=(*self.patients, patient_id))


def load(home: Path) -> DemoRecord:
    """The record of this data folder, or a new one, with a password for every login, already kept."""
    file = home / FILE_NAME
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"passwords": {}}
    had: dict[str, str] = found["passwords"]
    record = DemoRecord(
        {login: had.get(login) or _password() for login in LOGINS}, found.get("station_id"), found.get("station_key"),
        tuple(found.get("patients", ())), found.get("at_home"), found.get("visits", False),
    )
    if record.passwords != had:  # a new folder, or one of a version with fewer logins
        keep(record, home)
    return record


def keep(record: DemoRecord, home: Path) -> None:
    """Write the record, durably, in the place of the old one."""
    draft = home / f"{FILE_NAME}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(asdict(record), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(home / FILE_NAME)


def _password() -> str:
    return "".join(secrets.choice(EASY_LETTERS) for _ in range(PASSWORD_LENGTH))
