"""The chat: numbered without a hole, one line however often it is sent, the same text back, sealed at rest."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from telemed.app import build_app
from telemed.consultation import chat, door
from telemed.http import keys
from telemed.patient import patients

TEXT = "Кръвното е 128 на 82. <script>alert(1)</script> &amp; 𝄞\n\t{\"a\": 'b'} -- %s \\u0041 \u202eabc"


def lines(page: Any) -> list[dict[str, Any]]:
    """Every line that the page was told, in order."""
    return [line for one in page.messages if one["type"] == "chat" for line in one["lines"]]


async def say(page: Any, text: str, line: str | None = None) -> str:
    line = line or str(uuid4())
    await page.send({"type": "say", "line": line, "text": text})
    return line


async def said(support: Any, page: Any, line: str) -> dict[str, Any]:
    """The line, once the page was told."""
    await support.until(lambda: [one for one in lines(page) if one["line"] == line], f"line {line}")
    return next(one for one in lines(page) if one["line"] == line)


async def test_a_line_comes_back_as_it_was_said_to_everybody_inside(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative", "Demo relative")
    page, guests = await clinic.page(visit), await clinic.guest_page(guest)
    outside = await clinic.guest_page(await clinic.guest(visit, "interpreter", admit=False))
    ours = await said(support, guests, await say(page, TEXT))
    theirs = await said(support, page, await say(guests, "  Благодаря  "))
    assert (ours["text"], ours["n"], ours["file"]) == (TEXT, 1, None)
    assert ours["by"] == {"id": page.messages[0]["me"], "role": "clinician", "name": "Demo clinician"}
    assert (theirs["text"], theirs["n"]) == ("  Благодаря  ", 2)
    assert theirs["by"] == {"id": guest.seat, "role": "relative", "name": "Demo relative"}
    assert (await said(support, guests, theirs["line"]))["by"]["name"] == "Demo relative"
    status, answer = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/chat")
    assert (status, [one["text"] for one in answer["lines"]]) == (200, [TEXT, "  Благодаря  "])
    status, answer = await guest.client.get(guest.path("/chat", after=1, limit=5))
    assert (status, [one["n"] for one in answer["lines"]]) == (200, [2])
    assert not [one for one in outside.messages if one["type"] == "chat"]


async def test_nothing_that_was_said_is_readable_in_the_database(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    await said(support, page, await say(page, "canary-of-the-chat"))
    async with clinic.server.database.connection() as connection:
        row = await connection.fetchrow("select * from chat_line")
    assert all(word not in str(dict(row)) + bytes(row["sealed"]).decode("latin-1")
               for word in ("canary-of-the-chat", "Demo clinician"))


async def test_a_line_sent_again_is_one_line(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    line = await say(page, "once")
    for _ in range(4):
        await say(page, "once", line)
    await support.until(lambda: len(lines(page)) == 5, "an answer to each")
    assert {one["n"] for one in lines(page)} == {1}
    again = await clinic.page(visit, hello=False)
    await again.hello(chat_after=0)
    await say(again, "once", line)
    await said(support, again, await say(again, "twice"))
    assert {(one["n"], one["text"]) for one in lines(again)} == {(1, "once"), (2, "twice")}
    guest = await clinic.guest_page(await clinic.guest(visit))
    other = await say(guest, "the same name, another author", line)
    await support.until(lambda: [one for one in lines(guest) if one["n"] == 3], "a line of its own")
    assert other == line


async def test_a_reconnect_brings_exactly_the_missing_lines(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit)
    page, guests = await clinic.page(visit), await clinic.guest_page(guest)
    for n in range(3):
        await said(support, guests, await say(page, f"before {n}"))
    await guests.close()
    for n in range(450):  # more than two batches, faster than a page may
        await _append(clinic, visit, f"meanwhile {n}")
    back = await clinic.guest_page(guest, said={"chat_after": 3})
    await support.until(lambda: lines(back) and lines(back)[-1]["n"] == 453, "the last line")
    assert [one["n"] for one in lines(back)] == list(range(4, 454))
    told = [one for one in back.messages if one["type"] == "chat"]
    assert all(len(one["lines"]) <= 200 for one in told) and told[0]["through"] == 453
    up_to_date = await clinic.guest_page(guest, said={"chat_after": 453})
    assert await up_to_date.said("chat") == {"type": "chat", "lines": [], "through": 453}
    await said(support, up_to_date, await say(page, "after"))
    assert [one["n"] for one in lines(up_to_date)] == [454]


async def test_lines_of_four_who_speak_at_once_are_numbered_without_a_hole(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guests = [await clinic.guest(visit, role) for role in ("patient", "relative", "interpreter")]
    pages = [await clinic.page(visit), *[await clinic.guest_page(one) for one in guests]]
    await asyncio.gather(*(say(page, f"{who} {n}") for n in range(50) for who, page in enumerate(pages)))
    for page in pages:
        await support.until(lambda page=page: len(lines(page)) == 200, "every line", 60.0)
    assert all([one["n"] for one in lines(page)] == list(range(1, 201)) for page in pages)
    for who in range(4):
        own = [one["text"] for one in lines(pages[0]) if one["text"].startswith(f"{who} ")]
        assert own == [f"{who} {n}" for n in range(50)]


@pytest.mark.parametrize("text", ["", "   \n", "x" * 4001, "a\x00b", "bell\x07", None, 7, ["a"]])
async def test_what_is_no_line_is_refused(clinic: Any, support: Any, text: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    await say(page, text)
    refusal = await page.refused("message_invalid")
    assert refusal["error"]["params"] == {"field": "say.text"}
    await page.socket.send_str('{"type":"say","line":"' + str(uuid4()) + '","text":"\\ud800"}')
    await page.said("error", nth=1)
    longest = "𝄞" * 4000
    assert (await said(support, page, await say(page, longest)))["text"] == longest
    assert [one["n"] for one in lines(page)] == [1]


async def test_a_page_that_says_too_much_is_told_so_and_stays(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    for n in range(130):
        await say(page, str(n))
    refusal = await page.refused("too_many_messages")
    assert refusal["error"]["params"] == {"per_minute": 120} and UUID(refusal["line"])
    assert not page.closed.is_set()


async def test_a_chat_has_an_end(clinic: Any, monkeypatch: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    monkeypatch.setattr(chat, "LINES_A_VISIT", 2)
    for n in range(3):
        await say(page, str(n))
    await page.refused("chat_full")


async def test_while_the_database_is_away_a_line_is_refused_and_then_sent_again(
    clinic: Any, support: Any, postgres: Any
) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    await postgres.stop()
    try:
        line = await say(page, "kept by the page")
        refusal = await page.refused("database_unavailable")
        assert refusal["line"] == line
    finally:
        await postgres.start()
    await say(page, "kept by the page", line)
    assert (await said(support, page, line))["n"] == 1
    assert not page.closed.is_set()


async def test_numbers_go_on_after_a_restart_of_the_server(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    line = await say(page, "before")
    await said(support, page, line)
    runner = web.AppRunner(build_app(clinic.server.app[keys.SETTINGS]), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        url = f"http://127.0.0.1:{port}"
        socket = await clinic.clinician.http.ws_connect(
            f"{url}/ws/consultations/{visit.consultation}", headers={"Origin": url})
        later = await clinic._peer(support.Peer(socket), False)
        await later.hello(chat_after=1)
        await say(later, "before", line)
        assert (await said(support, later, line))["n"] == 1
        assert (await said(support, later, await say(later, "after")))["n"] == 2
        await later.close()
    finally:
        await runner.cleanup()


async def test_a_destroyed_key_ends_the_socket_and_the_chat(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    guest = await clinic.guest(visit)
    guests = await clinic.guest_page(guest)
    await said(support, page, await say(page, "gone with the key"))
    async with clinic.server.database.transaction() as connection:
        await connection.execute("update attachment set closed_at = now(), closed_reason = 'operator'")
        await patients.destroy_key(connection, clinic.server.seed.patients[0])
    for one in (page, guests):
        await one.refused("key_destroyed")
        await asyncio.wait_for(one.closed.wait(), 10)
        assert one.socket.close_code == 4000
    status, answer = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/chat")
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    later = await clinic.page(visit, hello=False)
    await later.send({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
    await later.refused("key_destroyed")


@pytest.mark.parametrize(("query", "status"), [
    ("after=-1", 400), ("limit=501", 400), ("limit=0", 400), ("after=99999999999", 400), ("after=1&after=2", 400),
    ("after=7", 200),
])
async def test_reading_the_chat_has_bounds(clinic: Any, query: str, status: int) -> None:
    visit = await clinic.visit()
    answer = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/chat?{query}")
    assert answer[0] == status
    other = await clinic.guest(visit, "relative", admit=False)
    assert (await other.client.get(other.path("/chat")))[0] == 403


async def _append(clinic: Any, visit: Any, text: str) -> None:
    app = clinic.server.app
    async with clinic.server.database.transaction() as connection:
        room = await door.hold(connection, UUID(visit.consultation))
        author = chat.Author(str(clinic.server.seed.accounts["clinician"]), "account", "clinician", "Demo clinician")
        await chat.append(connection, app[keys.SEALER], room, author, uuid4(), text)
