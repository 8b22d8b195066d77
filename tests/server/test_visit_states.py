"""Every edge of the state table over HTTP (or by the watch over the line), and every refusal; each edge audited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemed.consultation import continuity
from telemed.consultation.people import Present
from telemed.consultation.states import OPEN, TABLE, Event, State
from telemed.http import keys
from telemed.http.announce import tell_consultation
from telemed.identity import accounts

DEADLINE_SECONDS = 20.0
BY_HAND = sorted(set(Event) - {Event.LINE_LOST, Event.LINE_BACK})


def soon(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


class Clinic:
    """An operator, a clinician, a colleague of theirs, and consultations in any state."""

    def __init__(self, server: Any) -> None:
        self.server, self.seed = server, server.seed

    async def open(self) -> Clinic:
        self.operator, self.clinician = await self.server.client("operator"), await self.server.client("clinician")
        async with self.server.database.connection() as connection:
            self.second = await accounts.create(
                connection, self.seed.organisation_id, "demo-second", "Demo clinician 2", "-", ["clinician"]
            )
            self.third = await accounts.create(
                connection, self.seed.organisation_id, "demo-third", "Demo clinician 3", "-", ["clinician"]
            )
        self.seed.accounts["second"], self.seed.accounts["third"] = self.second.id, self.third.id
        self.colleague = await self.server.client("second")
        return self

    async def make(self, **given: Any) -> str:
        """A consultation of the clinician, of a patient at home."""
        status, made = await self.operator.post("/api/v1/consultations", {
            "patient_id": str(self.seed.patients[0]), "clinician_id": str(self.seed.accounts["clinician"]), **given,
        })
        assert status == 201, made
        name: str = made["id"]
        return name

    async def do(self, one: str, event: Event, client: Any = None, **changed: Any) -> tuple[int, Any]:
        body = {
            Event.MOVE: {"scheduled_at": soon(days=1), "minutes": 20},
            Event.HANDOVER: {"clinician_id": str(self.second.id)},
            Event.SIGN: {"text": "Demo note"},
            Event.AMEND: {"text": "Demo note, amended", "reason": "demo reason"},
        }.get(event)
        body = {**(body or {}), **changed} or None
        answer: tuple[int, Any] = await (client or self.clinician).post(f"/api/v1/consultations/{one}/{event}", body)
        return answer

    async def watch(self, one: str, event: Event) -> None:
        """The watch over the line sees everybody gone, or everybody back."""
        app, consultation, page = self.server.app, UUID(one), uuid4()
        people = [
            Present(str(self.seed.accounts["clinician"]), "account", "clinician", True, page),
            Present(str(uuid4()), "guest", "patient", True, page),
        ]
        for person in people if event is Event.LINE_BACK else ():
            app[keys.PEOPLE].enter(consultation, person)
        watch = continuity.Continuity(continuity.Surroundings(
            app[keys.DATABASE], app[keys.SEALER], app[keys.ROOMS], app[keys.PEOPLE], app[keys.STATIONS],
            partial(tell_consultation, app),
        ), seconds=0.0)
        assert (consultation, event) in await watch.look()
        for person in people if event is Event.LINE_BACK else ():
            app[keys.PEOPLE].leave(consultation, person.id, page)

    async def happen(self, one: str, event: Event) -> None:
        if event in BY_HAND:
            status, answer = await self.do(one, event)
            assert status == 200, (event, answer)
        else:
            await self.watch(one, event)

    async def in_state(self, state: State) -> str:
        """A consultation brought there by the shortest way from its appointment."""
        ways: dict[State, list[Event]] = {State.SCHEDULED: []}
        while state not in ways:
            ways |= {to: [*ways[at], event] for (at, event), to in TABLE.items() if at in ways and to not in ways}
        one = await self.make(scheduled_at=soon(hours=1))
        for event in ways[state]:
            await self.happen(one, event)
        assert (await self.operator.get(f"/api/v1/consultations/{one}"))[1]["state"] == state
        return one


@pytest.fixture
async def clinic(server: Any) -> Clinic:
    return await Clinic(server).open()


async def audited(server: Any, one: str, action: str) -> list[dict[str, Any]]:
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select actor_kind, actor_id, outcome, patient_id, organisation_id, detail from audit_event"
            " where object_id = $1 and action = $2 order by id", one, action,
        )
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


@pytest.mark.parametrize(("state", "event"), list(TABLE), ids=str)
async def test_every_edge_is_taken_and_audited(clinic: Clinic, state: State, event: Event) -> None:
    one = await clinic.in_state(state)
    await clinic.happen(one, event)
    _, shown = await clinic.operator.get(f"/api/v1/consultations/{one}")
    assert shown["state"] == TABLE[state, event]
    last = (await audited(clinic.server, one, f"consultation.{event}"))[-1]
    assert (last["detail"]["from"], last["detail"]["to"]) == (state, TABLE[state, event])
    assert last["organisation_id"] == clinic.seed.organisation_id
    assert last["patient_id"] == clinic.seed.patients[0]
    by = ("account", "permit") if event in BY_HAND else ("system", "event")
    assert (last["actor_kind"], last["outcome"]) == by


@pytest.mark.parametrize("state", State)
async def test_every_other_event_is_refused_with_the_state_and_leaves_no_trace(clinic: Clinic, state: State) -> None:
    one = await clinic.in_state(state)
    _, before = await clinic.operator.get(f"/api/v1/consultations/{one}")
    refused = [event for event in BY_HAND if (state, event) not in TABLE]
    for event in refused:
        count = len(await audited(clinic.server, one, f"consultation.{event}"))
        status, answer = await clinic.do(one, event)
        assert (status, answer["error"]) == (409, {"code": "state_refused", "params": {"state": state}}), event
        assert len(await audited(clinic.server, one, f"consultation.{event}")) == count, event
    for path, body in (("phone", {"on": True}), ("vitals", {"shared": True})):
        status, answer = await clinic.clinician.post(f"/api/v1/consultations/{one}/{path}", body)
        under_way = state in (State.LIVE, State.INTERRUPTED)
        assert status == (200 if under_way else 409), (path, answer)
    if state not in OPEN:
        status, answer = await clinic.clinician.post(
            f"/api/v1/consultations/{one}/participants", {"account_id": str(clinic.second.id)}
        )
        assert (status, answer["error"]["code"]) == (409, "state_refused")
        _, after = await clinic.operator.get(f"/api/v1/consultations/{one}")
        assert after == before


def test_what_is_done_by_hand_and_what_by_the_watch_is_the_whole_table() -> None:
    assert {event for _, event in TABLE} == {*BY_HAND, Event.LINE_LOST, Event.LINE_BACK}


async def settled(server: Any, path: str, locked: int, work: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """The answers of requests that were all under way, waiting for the consultation's row, before any was done."""
    async with server.database.connection() as holder, server.database.connection() as looker:
        change = holder.transaction()
        await change.start()
        await holder.execute("select from consultation where id = $1 for update", path)
        tasks = [asyncio.ensure_future(one()) for one in work]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await looker.fetchval(  # noqa: ASYNC110
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            ) < locked:
                await asyncio.sleep(0.01)  # between looks at the condition
        await change.rollback()
    return list(await asyncio.gather(*tasks))


async def test_of_two_clinicians_who_admit_at_once_one_wins(clinic: Clinic) -> None:
    server = clinic.server
    for _ in range(5):
        one = await clinic.make(clinician_id=None)
        path = f"/api/v1/consultations/{one}"
        answers = await settled(server, one, 2, [
            lambda path=path, client=client: client.post(f"{path}/admit")  # type: ignore[misc]
            for client in (clinic.clinician, clinic.colleague)
        ])
        assert sorted((status, body.get("error", {}).get("code")) for status, body in answers) == [
            (200, None), (409, "conflict"),
        ]
        winner = next(body for status, body in answers if status == 200)
        _, shown = await clinic.operator.get(path)
        assert (shown["state"], shown["clinician"]) == ("live", winner["clinician"])
        rows = await audited(server, one, "consultation.admit")
        assert [(row["outcome"], row["actor_id"] == winner["clinician"]["id"]) for row in rows] == [
            ("permit", True), ("deny", False),
        ]


async def test_who_comes_later_to_admit_hears_of_it_and_is_recorded(clinic: Clinic) -> None:
    one = await clinic.make(clinician_id=None)
    assert (await clinic.do(one, Event.ADMIT, clinic.colleague))[0] == 200
    status, answer = await clinic.do(one, Event.ADMIT)
    assert (status, answer["error"]["code"]) == (409, "conflict")
    rows = await audited(clinic.server, one, "consultation.admit")
    assert [(row["outcome"], row["actor_id"]) for row in rows] == [
        ("permit", str(clinic.second.id)), ("deny", str(clinic.seed.accounts["clinician"])),
    ]


async def test_an_end_and_a_handover_at_once_are_one_after_the_other(clinic: Clinic) -> None:
    one = await clinic.in_state(State.LIVE)
    answers = await settled(clinic.server, one, 2, [
        lambda: clinic.do(one, Event.END), lambda: clinic.do(one, Event.HANDOVER),
    ])
    codes = [body.get("error", {}).get("code") for _, body in answers]
    assert codes in ([None, "state_refused"], ["forbidden", None])


@pytest.mark.parametrize(("first", "second"), list(product((Event.CANCEL, Event.MISS, Event.ARRIVE), repeat=2)))
async def test_an_appointment_ends_once(clinic: Clinic, first: Event, second: Event) -> None:
    one = await clinic.make(scheduled_at=soon(hours=1))
    answers = await settled(clinic.server, one, 2, [lambda: clinic.do(one, first), lambda: clinic.do(one, second)])
    statuses = sorted(status for status, _ in answers)
    arrived_and_ended = {first, second} != {Event.ARRIVE} and Event.ARRIVE in (first, second)
    assert statuses == [200, 409] or (arrived_and_ended and statuses == [200, 200])
