"""A side that is missing for long enough interrupts a live consultation; both sides back resume it at once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from telemed.consultation import continuity
from telemed.consultation.continuity import INTERRUPT_SECONDS, READ_SECONDS, Continuity, Line, due, whole
from telemed.consultation.people import Present
from telemed.consultation.states import Event, State
from telemed.errors import DatabaseUnavailable
from telemed.http import keys
from telemed.http.announce import tell_consultation

DEADLINE_SECONDS = 20.0
CLINICIAN = uuid4()
CLINICIAN_HERE = Present(str(CLINICIAN), "account", "clinician", True, uuid4())
SECOND_HERE = Present(str(uuid4()), "account", "second_clinician", True, uuid4())
OPERATOR_HERE = Present(str(uuid4()), "account", "operator", True, uuid4())


def guest(role: str, admitted: bool = True) -> Present:
    return Present(str(uuid4()), "guest", role, admitted, uuid4())


@pytest.mark.parametrize(("present", "station", "on_phone", "expected"), [
    ((), False, False, False),
    ((CLINICIAN_HERE,), False, False, False),
    ((guest("patient"),), True, True, False),
    ((SECOND_HERE, OPERATOR_HERE, guest("patient")), True, False, False),
    ((CLINICIAN_HERE, guest("patient")), False, False, True),
    ((CLINICIAN_HERE, guest("relative")), False, False, True),
    ((CLINICIAN_HERE, guest("patient", admitted=False)), False, False, False),
    ((CLINICIAN_HERE, guest("interpreter"), guest("second_clinician"), OPERATOR_HERE), False, False, False),
    ((CLINICIAN_HERE,), True, False, True),
    ((CLINICIAN_HERE,), False, True, True),
])
def test_which_sides_are_there(present: tuple[Present, ...], station: bool, on_phone: bool, expected: bool) -> None:
    line = Line(uuid4(), State.LIVE, CLINICIAN, 1, on_phone)
    assert whole(line, present, station) is expected
    # After a handover it is the new clinician's page that counts.
    assert not whole(Line(line.id, State.LIVE, uuid4(), 1, on_phone), present, station)


@pytest.mark.parametrize(("state", "is_whole", "missing_s", "expected"), [
    (State.LIVE, True, 0.0, None),
    (State.LIVE, False, INTERRUPT_SECONDS - 0.001, None),
    (State.LIVE, False, INTERRUPT_SECONDS, Event.LINE_LOST),
    (State.INTERRUPTED, False, 1e6, None),
    (State.INTERRUPTED, True, 0.0, Event.LINE_BACK),
    *((state, is_whole, 1e6, None) for state in State for is_whole in (True, False)
      if state not in (State.LIVE, State.INTERRUPTED)),
])
def test_what_is_due(state: State, is_whole: bool, missing_s: float, expected: Event | None) -> None:
    assert due(state, is_whole, missing_s, INTERRUPT_SECONDS) is expected


class Call:
    """A live consultation of a patient at home, who comes and goes, and a watch with a clock of the test's."""

    def __init__(self, server: Any) -> None:
        self.server, self.app = server, server.app
        self.now = 1000.0
        self.page, self.seat = uuid4(), str(uuid4())

    async def open(self, **given: Any) -> Call:
        self.clinician = await self.server.client("clinician")
        status, made = await self.clinician.post(
            "/api/v1/consultations", {"patient_id": str(self.server.seed.patients[0]), **given}
        )
        assert status == 201, made
        self.id = UUID(made["id"])
        assert (await self.clinician.post(f"/api/v1/consultations/{self.id}/admit"))[0] == 200
        self.watch = self.new_watch()
        return self

    def new_watch(self) -> Continuity:
        around = continuity.Surroundings(
            self.app[keys.DATABASE], self.app[keys.SEALER], self.app[keys.ROOMS], self.app[keys.PEOPLE],
            self.app[keys.STATIONS], lambda told, at_station: tell_consultation(self.app, told, at_station),
        )
        return Continuity(around, clock=lambda: self.now)

    def clinician_comes(self) -> None:
        account = str(self.server.seed.accounts["clinician"])
        self.app[keys.PEOPLE].enter(self.id, Present(account, "account", "clinician", True, self.page))

    def patient_comes(self) -> None:
        self.app[keys.PEOPLE].enter(self.id, Present(self.seat, "guest", "patient", True, self.page))

    def everybody_goes(self) -> None:
        for one in self.app[keys.PEOPLE].present(self.id):
            self.app[keys.PEOPLE].leave(self.id, one.id, one.page)

    async def state(self) -> str:
        async with self.server.database.connection() as connection:
            state: str = await connection.fetchval("select state from consultation where id = $1", self.id)
        return state


async def test_ten_seconds_without_a_side_interrupt_and_both_back_resume_at_once(server: Any) -> None:
    call = await Call(server).open()
    call.clinician_comes()
    assert await call.watch.look() == []
    call.now += INTERRUPT_SECONDS - 0.1
    assert await call.watch.look() == []
    with server.app[keys.ROOMS].listen(f"consultation:{call.id}") as room:
        call.now += 0.1
        assert await call.watch.look() == [(call.id, Event.LINE_LOST)]
        assert room.queue.get_nowait()["consultation"]["state"] == await call.state() == "interrupted"
        call.now += 3600.0
        assert await call.watch.look() == []
        call.patient_comes()
        assert room.queue.get_nowait() == {"type": "people"}
        assert await call.watch.look() == [(call.id, Event.LINE_BACK)]
        assert room.queue.get_nowait()["consultation"]["state"] == await call.state() == "live"


async def test_a_short_absence_counts_from_its_own_beginning(server: Any) -> None:
    call = await Call(server).open()
    for _ in range(3):
        assert await call.watch.look() == []
        call.now += INTERRUPT_SECONDS - 1.0
        assert await call.watch.look() == []
        call.clinician_comes()
        call.patient_comes()
        assert await call.watch.look() == []
        call.everybody_goes()
        call.now += READ_SECONDS  # nobody looked meanwhile: absence is counted from a look
    assert await call.state() == "live"


async def test_a_new_start_gives_everybody_the_time_again(server: Any) -> None:
    call = await Call(server).open()
    assert await call.watch.look() == []
    call.now += 10 * INTERRUPT_SECONDS
    fresh = call.new_watch()
    assert await fresh.look() == []
    call.now += INTERRUPT_SECONDS
    assert await fresh.look() == [(call.id, Event.LINE_LOST)]
    # And one that starts on an interrupted consultation resumes it as soon as both are there.
    call.clinician_comes()
    call.patient_comes()
    assert await call.new_watch().look() == [(call.id, Event.LINE_BACK)]


async def test_the_telephone_stands_for_the_patients_side(server: Any) -> None:
    call = await Call(server).open()
    call.clinician_comes()
    assert await call.watch.look() == []
    call.now += INTERRUPT_SECONDS
    assert await call.watch.look() == [(call.id, Event.LINE_LOST)]
    with server.app[keys.ROOMS].listen(continuity.TOPIC) as told:
        _, shown = await call.clinician.post(f"/api/v1/consultations/{call.id}/phone", {"on": True})
        assert shown["phone_since"] is not None
        call.watch.hear(told.queue.get_nowait()["line"])
        assert await call.watch.look() == [(call.id, Event.LINE_BACK)]
        _, shown = await call.clinician.post(f"/api/v1/consultations/{call.id}/phone", {"on": False})
        assert (shown["phone_since"], shown["state"]) == (None, "live")


async def test_the_station_is_the_patients_side(server: Any) -> None:
    call = await Call(server).open(station_id=server.seed.station_id)
    call.clinician_comes()
    server.app[keys.STATIONS].heard(server.seed.station_id)
    assert await call.watch.look() == []
    call.now += 100.0
    assert await call.watch.look() == []
    server.app[keys.STATIONS].left(server.seed.station_id)
    assert await call.watch.look() == []
    call.now += INTERRUPT_SECONDS
    assert await call.watch.look() == [(call.id, Event.LINE_LOST)]


async def test_who_comes_back_while_the_row_is_waited_for_is_not_interrupted(server: Any) -> None:
    call = await Call(server).open()
    assert await call.watch.look() == []
    call.now += INTERRUPT_SECONDS
    async with server.database.connection() as holder, server.database.connection() as looker:
        change = holder.transaction()
        await change.start()
        await holder.execute("select from consultation where id = $1 for update", call.id)
        looking = asyncio.create_task(call.watch.look())
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await looker.fetchval(  # noqa: ASYNC110
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            ):
                await asyncio.sleep(0.01)  # between looks at the condition
        call.clinician_comes()
        call.patient_comes()
        await change.rollback()
    assert await looking == []
    assert await call.state() == "live"


async def test_what_ended_meanwhile_stays_ended(server: Any) -> None:
    call = await Call(server).open()
    assert await call.watch.look() == []
    assert (await call.clinician.post(f"/api/v1/consultations/{call.id}/end"))[0] == 200
    call.now += INTERRUPT_SECONDS  # the watch was not told: it looks under the lock
    assert await call.watch.look() == []
    assert await call.watch.look() == []
    assert await call.state() == "ended"


async def test_while_the_database_is_away_nothing_is_decided_and_then_it_is(server: Any, postgres: Any) -> None:
    call = await Call(server).open()
    assert await call.watch.look() == []
    call.now += INTERRUPT_SECONDS
    await postgres.stop()
    try:
        with pytest.raises(DatabaseUnavailable):
            await call.watch.look()
    finally:
        await postgres.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await call.clinician.get("/healthz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # between looks at the condition
    assert await call.watch.look() == [(call.id, Event.LINE_LOST)]


async def test_one_that_cannot_be_read_keeps_no_other_from_being_watched(server: Any) -> None:
    first = await Call(server).open()
    second = await Call(server).open(patient_id=str(server.seed.patients[1]))
    async with server.database.connection() as connection:
        await connection.execute(
            "update patient set sealed = key_wrapped where id = $1", server.seed.patients[1])  # what no key opens
    watch = first.new_watch()
    assert await watch.look() == []
    first.now += INTERRUPT_SECONDS
    with capture_logs() as logs:
        assert await watch.look() == [(first.id, Event.LINE_LOST)]
    assert [entry["consultation"] for entry in logs if entry["event"] == "continuity_failed"] == [str(second.id)]


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose watch waits for nobody."""
    monkeypatch.setattr(continuity, "INTERRUPT_SECONDS", 0.0)
    monkeypatch.setattr(continuity, "LOOK_SECONDS", 0.01)


async def until(call: Call, state: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await call.state() != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # between looks at the condition


async def test_the_servers_own_watch_does_it(brisk: None, server: Any, postgres: Any) -> None:
    call = await Call(server).open()
    await until(call, "interrupted")
    call.clinician_comes()
    call.patient_comes()
    await until(call, "live")
    await postgres.stop()  # the watch outlives an outage
    call.everybody_goes()
    await postgres.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await call.clinician.get("/healthz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # between looks at the condition
    await until(call, "interrupted")
    # An event that never came (the listener fell behind) is made good by reading anew.
    for _ in range(400):
        server.app[keys.ROOMS].publish(continuity.TOPIC, {"type": "line", "line": Line(
            uuid4(), State.ENDED, None, None, False)})
    call.clinician_comes()
    call.patient_comes()
    await until(call, "live")
