"""The table of a consultation's states is whole, and nothing else moves one."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from telemed.consultation.states import OPEN, TABLE, Event, State, after
from telemed.errors import StateRefused


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_in_the_table_or_refused_by_name(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert after(state, event) is TABLE[state, event]
        return
    with pytest.raises(StateRefused) as refused:
        after(state, event)
    assert (refused.value.code, refused.value.params) == ("state_refused", {"state": state.value})


def test_every_state_is_reached_and_what_ended_never_opens_again() -> None:
    reached, grown = {State.SCHEDULED}, True
    while grown:
        wider = reached | {to for (state, _), to in TABLE.items() if state in reached}
        grown, reached = wider != reached, wider
    assert reached == set(State)
    assert all(to not in OPEN for (state, _), to in TABLE.items() if state not in OPEN)
    assert {to for (state, _), to in TABLE.items() if state is State.LIVE} == {State.INTERRUPTED, State.ENDED}


async def test_the_database_knows_the_same_states(database: Any) -> None:
    async with database.connection() as connection:
        text = await connection.fetchval(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'consultation_state_check'"
        )
    assert set(re.findall(r"'(\w+)'", text)) == {state.value for state in State}
