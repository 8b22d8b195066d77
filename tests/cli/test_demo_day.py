"""The demo's first start and its operator, against a real server: everything once, and always a patient waiting."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from telemed.cli import demo_panel, demo_record
from telemed.cli.demo_day import appoint, next_patient, patient_link, step
from telemed.cli.demo_record import LOGINS, DemoRecord
from telemed.cli.demo_seed import OPERATOR, PHONE, seed
from telemed.cli.errors import DemoRecordMissing
from telemed.cli.server_client import Refused, ServerClient
from telemed.settings import Settings


def settings_of(serving: Any) -> Settings:
    return Settings(home=serving.home, port=serving.port, database_url=None)


async def open_consultations(client: ServerClient) -> list[dict[str, Any]]:
    found = (await client.get("/api/v1/consultations"))["consultations"]
    return [one for one in found if one["state"] in ("waiting", "live", "interrupted")]


async def test_the_first_start_makes_everything_once_however_often_it_is_interrupted(serving: Any) -> None:
    settings, home = settings_of(serving), serving.home
    record = await seed(settings, serving.address, "bg")
    assert await seed(settings, serving.address, "en") == record
    assert (home / demo_record.FILE_NAME).stat().st_mode & 0o777 == 0o600
    for login, role in LOGINS.items():
        async with ServerClient(serving.address, login, record.passwords[login]) as client:
            assert role in json.dumps(await client.get("/api/v1/me"))
    assert await numbers(serving, record) == (len(LOGINS), 1, 4)
    assert record.visits
    async with ServerClient(serving.address, "demo-clinician", record.passwords["demo-clinician"]) as clinician:
        assert PHONE in json.dumps(await clinician.get("/api/v1/me"))
        colleagues = (await clinician.get("/api/v1/colleagues"))["colleagues"]
    assert "Демо лекар 2" in [one["name"] for one in colleagues]

    # Interrupted before the last patients: they are made, nothing else.
    demo_record.keep(replace(record, patients=record.patients[:2]), home)
    again = await seed(settings, serving.address, "en")
    assert (again.passwords, again.station_id) == (record.passwords, record.station_id)
    assert again.patients[:2] == record.patients[:2]
    assert await numbers(serving, record) == (len(LOGINS), 1, 5)

    # A folder of a version that knew nothing of visits: what they need is made, and the rest is left as it is.
    old = {"passwords": {login: record.passwords[login] for login in LOGINS if login != "demo-clinician-2"},
           "station_id": again.station_id, "station_key": again.station_key, "patients": again.patients}
    (home / demo_record.FILE_NAME).write_text(json.dumps(old))
    again = await seed(settings, serving.address, "en")
    assert (again.station_id, again.patients) == (record.station_id, tuple(old["patients"]))
    assert again.passwords != record.passwords
    assert again.visits
    assert await numbers(serving, record) == (len(LOGINS), 1, 6)

    # Interrupted before the station's key was noted: it cannot be shown again, so there is another station.
    demo_record.keep(DemoRecord(record.passwords), home)
    again = await seed(settings, serving.address, "en")
    assert again.passwords == record.passwords
    assert await numbers(serving, record) == (len(LOGINS), 2, 10)

    # The passwords are lost: that is said, not guessed.
    (home / demo_record.FILE_NAME).unlink()
    with pytest.raises(DemoRecordMissing):
        await seed(settings, serving.address, "en")


async def numbers(serving: Any, record: DemoRecord) -> tuple[int, int, int]:
    """How many accounts, stations and patients the server has."""
    async with ServerClient(serving.address, "demo-admin", record.passwords["demo-admin"]) as administrator:
        accounts = (await administrator.get("/api/v1/accounts"))["accounts"]
        stations = (await administrator.get("/api/v1/stations"))["stations"]
    async with ServerClient(serving.address, OPERATOR, record.passwords[OPERATOR]) as operator:
        patients = (await operator.get("/api/v1/patients"))["patients"]
    return len(accounts), len(stations), len(patients)


async def test_a_patient_always_waits_and_the_next_one_after_an_end(serving: Any) -> None:
    record = await seed(settings_of(serving), serving.address, "en")
    async with (
        ServerClient(serving.address, OPERATOR, record.passwords[OPERATOR]) as operator,
        ServerClient(serving.address, "demo-clinician", record.passwords["demo-clinician"]) as clinician,
    ):
        for patient in (*record.patients, record.patients[0]):
            await step(operator, record)
            await step(operator, record)  # nothing more to do
            (waiting,) = await open_consultations(operator)
            assert (waiting["state"], waiting["patient"]["id"]) == ("waiting", patient)
            attached = (await operator.get(f"/api/v1/attachments?station_id={record.station_id}"))["attachments"]
            (current,) = [one for one in attached if one["closed_at"] is None]
            assert (current["patient_id"], current["consultation_id"]) == (patient, waiting["id"])
            await clinician.post(f"/api/v1/consultations/{waiting['id']}/admit", {})
            await step(operator, record)
            assert [one["id"] for one in await open_consultations(operator)] == [waiting["id"]]
            await clinician.post(f"/api/v1/consultations/{waiting['id']}/end", {})
            await operator._once("DELETE", "/api/v1/sign-in", None)  # whose sign-in ended signs in again
    async with ServerClient(serving.address, "nobody", "no such password") as nobody:
        with pytest.raises(Refused) as caught:
            await nobody.sign_in()
    assert caught.value.refusal == "bad_credentials"


async def test_the_patient_at_home_has_one_appointment_ahead_and_the_waiting_one_a_fresh_link(serving: Any) -> None:
    record = await seed(settings_of(serving), serving.address, "en")
    now = datetime.now(UTC)

    async def scheduled(client: ServerClient) -> list[dict[str, Any]]:
        found = (await client.get("/api/v1/consultations"))["consultations"]
        return [one for one in found if one["patient"]["id"] == record.at_home]

    async with ServerClient(serving.address, OPERATOR, record.passwords[OPERATOR]) as operator:
        for at in (now, now + timedelta(minutes=30)):
            await appoint(operator, record, at)
            (one,) = await scheduled(operator)
            begin = datetime.fromisoformat(one["scheduled_at"])
            assert (one["state"], one["station"], begin.minute % 15) == ("scheduled", None, 0)
            assert timedelta(hours=1) <= begin - now < timedelta(hours=1, minutes=15)
        # The next day: nobody came, so that one is closed and there is another.
        await appoint(operator, record, now + timedelta(days=1))
        assert sorted(one["state"] for one in await scheduled(operator)) == ["no_show", "scheduled"]

        waiting = await step(operator, record)
        links = [await patient_link(operator, waiting, "bg") for _ in range(25)]
        assert len(set(links)) == 25
        looks = []
        for link in links[-2:]:
            assert link is not None
            assert link.startswith(f"{serving.address}/#/join/")
            try:
                looks.append((await operator.post("/api/v1/visits/look", {"ticket": link.rpartition("/")[2]}))["role"])
            except Refused as refused:
                looks.append(refused.refusal)
        assert looks == ["ticket_revoked", "patient"]
        await operator.post(f"/api/v1/consultations/{waiting['id']}/cancel", {})
        assert await patient_link(operator, waiting, "bg") is None


def test_patients_come_in_turn() -> None:
    def had(patient: str, at: str) -> dict[str, Any]:
        return {"patient": {"id": patient}, "created_at": at}

    three = ("a", "b", "c")
    assert next_patient([], three) == "a"
    assert next_patient([had("a", "2026-01-01T08:00:00Z")], three) == "b"
    assert next_patient([had("a", "2026-01-01T08:00:00Z"), had("c", "2026-01-01T09:00:00Z")], three) == "a"
    assert next_patient([had("somebody else", "2026-01-01T10:00:00Z")], three) == "a"


def test_the_record_is_whole_or_the_old_one(tmp_path: Path) -> None:
    record = demo_record.load(tmp_path)
    assert set(record.passwords) == set(LOGINS)
    assert demo_record.load(tmp_path) == record
    demo_record.keep(record.with_station(7, "key").with_patient("a"), tmp_path)
    assert demo_record.load(tmp_path) == DemoRecord(record.passwords, 7, "key", ("a",))
    assert [file.name for file in tmp_path.iterdir()] == [demo_record.FILE_NAME]
    assert "key" not in repr(demo_record.load(tmp_path))


@pytest.mark.parametrize(("number", "spoken"), [(0, "en"), (1, "bg")])
def test_the_panel_names_the_buttons_as_the_page_does(number: int, spoken: str) -> None:
    text = demo_panel.STEPS[0][number]
    for key in ("worklist.open", "bar.end", "live.to_review"):
        assert sentence(key, spoken) in text


def sentence(key: str, spoken: str) -> str:
    catalogue = resources.files("telemed_web").joinpath("catalogues", f"{spoken}.json").read_text("utf-8")
    return str(json.loads(catalogue)[key])
