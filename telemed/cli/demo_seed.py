"""The demo's organisation, people, station and patients, made at its first start.

Only the administrator is made in the database directly, as ``telemed user add`` does; everything else goes
through the server's own interface, as an administrator and an operator would do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from telemed.cli import demo_record
from telemed.cli.demo_record import DemoRecord
from telemed.cli.errors import DemoRecordMissing
from telemed.cli.server_client import Refused, ServerClient
from telemed.cli.user import add_account
from telemed.identity.accounts import LoginTaken
from telemed.settings import Settings

ORGANISATION = "Telemed demo"
ADMINISTRATOR = "demo-admin"
OPERATOR = "demo-operator"
BIRTH_YEARS = (1948, 1957, 1963)  # invented: old enough for the story, nobody's own
AT_HOME_BORN = 1951
PHONE = "+359 38 000 000"  # plainly nobody's
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "en": {
        "demo-clinician": "Demo clinician", "demo-operator": "Demo operator", "demo-admin": "Demo administrator",
        "demo-clinician-2": "Demo clinician 2", "demo-auditor": "Demo auditor", "at_home": "Demo patient at home",
        "station": "Demo station", "place": "Demo village", "patient": "Demo patient",
    },
    "bg": {
        "demo-clinician": "Демо лекар", "demo-operator": "Демо оператор",
        "demo-admin": "Демо администратор", "demo-auditor": "Демо одитор", "demo-clinician-2": "Демо лекар 2",
        "at_home": "Демо пациент у дома",
        "station": "Демо станция", "place": "Демо село", "patient": "Демо пациент",
    },
})  # fmt: skip


async def seed(settings: Settings, address: str, language: str) -> DemoRecord:
    """Make whatever of the demo is not there yet; returns what it is. The server must be serving.

    Raises ``DemoRecordMissing`` when the data folder's demo has other passwords; ``Refused``, ``ServerUnreachable``.
    """
    record = demo_record.load(settings.home)
    if record.station_id is not None and len(record.patients) == len(BIRTH_YEARS) and record.visits:
        return record
    await _administrator(settings, address, record, language)
    async with ServerClient(address, ADMINISTRATOR, record.passwords[ADMINISTRATOR]) as administrator:
        await _colleagues(administrator, record, language)
        await administrator.patch("/api/v1/organisation", {"phone": PHONE})
        record = await _station(administrator, record, settings.home, language)
    async with ServerClient(address, OPERATOR, record.passwords[OPERATOR]) as operator:
        record = await _patients(operator, record, settings.home, language)
        return await _at_home(operator, record, settings.home, language)


async def _administrator(settings: Settings, address: str, record: DemoRecord, language: str) -> None:
    """The one account that is made in the database; nobody is there yet to ask for it."""
    password = record.passwords[ADMINISTRATOR]
    async with ServerClient(address, ADMINISTRATOR, password) as client:
        try:
            await client.sign_in()
        except Refused as refused:
            if refused.refusal != "bad_credentials":
                raise
        else:
            return
    try:
        name = WORDS[language][ADMINISTRATOR]
        await add_account(settings, ADMINISTRATOR, name, password, ["administrator"], ORGANISATION, language)
    except LoginTaken:
        raise DemoRecordMissing(path=str(settings.home), file=demo_record.FILE_NAME) from None


async def _colleagues(administrator: ServerClient, record: DemoRecord, language: str) -> None:
    for login, role in demo_record.LOGINS.items():
        if login == ADMINISTRATOR:
            continue
        account = {
            "login": login, "name": WORDS[language][login], "password": record.passwords[login], "roles": [role],
            "language": language,
        }  # fmt: skip
        try:
            await administrator.post("/api/v1/accounts", account)
        except Refused as refused:
            if refused.refusal != "login_taken":  # made by a first start that was interrupted
                raise


async def _station(administrator: ServerClient, record: DemoRecord, home: Path, language: str) -> DemoRecord:
    if record.station_id is None:
        wanted = {"name": WORDS[language]["station"], "place": WORDS[language]["place"]}
        station = await administrator.post("/api/v1/stations", wanted)
        made = await administrator.post(f"/api/v1/stations/{station['id']}/keys", {})
        record = record.with_station(station["id"], made["key"])
        demo_record.keep(record, home)
    return record


async def _patients(operator: ServerClient, record: DemoRecord, home: Path, language: str) -> DemoRecord:
    for number in range(len(record.patients), len(BIRTH_YEARS)):
        name = f"{WORDS[language]['patient']} {number + 1}"
        wanted = {"name": name, "birth_year": BIRTH_YEARS[number], "provisional": False}
        patient = await operator.post("/api/v1/patients", wanted)
        record = record.with_patient(str(patient["id"]))
        demo_record.keep(record, home)
    return record


async def _at_home(operator: ServerClient, record: DemoRecord, home: Path, language: str) -> DemoRecord:
    if record.at_home is None:
        wanted = {"name": WORDS[language]["at_home"], "birth_year": AT_HOME_BORN, "provisional": False}
        record = replace(record, at_home=str((await operator.post("/api/v1/patients", wanted))["id"]))
        demo_record.keep(record, home)
    record = replace(record, visits=True)
    demo_record.keep(record, home)
    return record
