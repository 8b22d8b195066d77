"""The table of a consultation's states is whole, and nothing else moves one."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from telemed.consultation import picture
from telemed.consultation.states import OPEN, TABLE, Event, State, after
from telemed.errors import StateRefused

ROOT = Path(__file__).parents[2]

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
    assert {to for (state, _), to in TABLE.items() if state is State.LIVE} - {State.LIVE} == {
        State.INTERRUPTED, State.ENDED,
    }


def test_the_picture_in_the_docs_is_the_tables() -> None:
    """Drawn anew by ``python -m telemed.consultation.picture docs/states.svg``."""
    drawn = picture.draw(TABLE, picture.words())
    assert (ROOT / "docs/states.svg").read_text(encoding="utf-8") == drawn
    assert "(states.svg)" in (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_the_picture_shows_every_state_and_every_edge() -> None:
    drawn = ElementTree.fromstring(picture.draw(TABLE, picture.words()))  # noqa: S314 (our own text)
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text or "" for text in drawn.iter(f"{space}text")]
    assert {state.value.replace("_", " ") for state in State} <= set(texts)
    arrows = [path for path in drawn.iter(f"{space}path") if "marker-end" in path.keys()]  # noqa: SIM118
    assert len(arrows) == len({(state, to) for (state, _), to in TABLE.items()})
    labels = [event for text in texts for event in text.split(" · ")]
    for event in Event:
        edges = sum(1 for _, which in TABLE if which is event)
        assert labels.count(event.value.replace("_", " ")) == edges, event
    fewer = {edge: to for edge, to in TABLE.items() if edge != (State.ENDED, Event.SIGN)}
    assert picture.draw(fewer, picture.words()) != picture.draw(TABLE, picture.words())


async def test_the_database_knows_the_same_states(database: Any) -> None:
    async with database.connection() as connection:
        text = await connection.fetchval(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'consultation_state_check'"
        )
    assert set(re.findall(r"'(\w+)'", text)) == {state.value for state in State}
