"""Who was entered at a station without a line: whose the samples are, what waits for the server, what it may answer."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from telemed_station import console
from telemed_station.errors import StationError
from telemed_station.people import People
from telemed_station.people_file import PEOPLE_MAX
from telemed_station.program import StationSettings, run
from telemed_station.spool_look import look
from telemed_station.spool_thread import SpoolThread

Start = Callable[..., Awaitable[Any]]
Until = Callable[..., Awaitable[None]]
NAME = "Demo patient offline"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path that a socket fits in."""
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        yield Path(folder)


@asynccontextmanager
async def running(home: Path, port: int) -> AsyncIterator[asyncio.Task[None]]:
    settings = StationSettings(
        server=f"http://127.0.0.1:{port}", key="station-key", home=home, camera="none", microphone="none")  # fmt: skip
    task = asyncio.create_task(run(settings))
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(home: Path, **question: Any) -> Any:
    """The answer's person, or the code that refuses."""
    end = asyncio.get_running_loop().time() + 20
    while True:
        try:
            return (await asyncio.to_thread(console.ask, home, question))["person"]
        except StationError as error:
            if error.code != "station_not_running" or asyncio.get_running_loop().time() > end:
                return error.code
            await asyncio.sleep(0.02)


def enter(home: Path, name: object = NAME, year: object = 1951) -> Any:
    return ask(home, do="enter", name=name, birth_year=year)


async def asked_until(home: Path, do: str, refused: str) -> Any:
    """The first answer that is not this refusal."""
    async with asyncio.timeout(20):
        while (answer := await ask(home, do=do)) == refused:  # noqa: ASYNC110 - of the other side's making
            await asyncio.sleep(0.02)
    return answer


def described(home: Path) -> list[Any]:
    """Whose each generation with samples in the spool is, oldest first."""
    with look(home / "spool.sqlite3") as spool:
        ecg = [one for one in spool.streams() if one.next_seq and one.descriptor["kind"] == "ecg"]
    return [one.descriptor["attachment"] for one in ecg]


def told(server: Any) -> list[dict[str, Any]]:
    return [text for text in server.texts if text["type"] == "provisional"]


def announced(server: Any) -> list[Any]:
    return [message["stream"]["attachment"] for message in server.announces if message["stream"]["kind"] == "ecg"]


async def clocked(server: Any) -> None:
    await server.say({"type": "clock_ask", "server_us": 1})


async def test_the_console_enters_shows_and_lets_go(home: Path, until: Until) -> None:
    async with running(home, unused_port()):
        assert await ask(home, do="show") is None
        assert await ask(home, do="gone") == "station_nobody"
        assert await enter(home, f" {NAME} ") == {"name": NAME, "birth_year": 1951}
        await until(lambda: len(set(described(home)) - {None}) == 1, "samples of the first")
        assert await enter(home, "Demo second", None) == {"name": "Demo second", "birth_year": None}
        await until(lambda: len(set(described(home)) - {None}) == 2, "samples of the second")
        assert await ask(home, do="gone") is None
        assert await ask(home, do="gone") == "station_nobody"
        for name in ("", "  ", "x" * 201, "a\x00b", "a\nb", "a\u202eb", "\ud800", None, 7):
            assert await enter(home, name) == "station_name_unfit", name
        for year in (1889, 2201, "1951", 1951.0, True):
            assert await enter(home, NAME, year) == "station_year_unfit", year
        assert await ask(home, do="something") is None
    assert not (home / "console").exists()
    spool = SpoolThread(home / "spool.sqlite3")
    people = People(spool)
    await people.load()
    first, second = people._all
    assert (first.name, first.to_us, first.to_source) == (NAME, second.from_us, second.source)
    assert second.to_us is not None and people.here is None
    await spool.close()
    assert [one for one in described(home) if one] == [first.attachment, second.attachment]


async def test_no_more_than_are_kept(home: Path) -> None:
    async with running(home, unused_port()):
        for at in range(PEOPLE_MAX):
            assert (await enter(home, f"Demo {at}"))["name"] == f"Demo {at}"
        assert await enter(home, "Demo too many") == "station_people_full"
        assert (await ask(home, do="show"))["name"] == f"Demo {PEOPLE_MAX - 1}", "who was there is there still"


async def test_whoever_asks_nonsense_gets_no_further(home: Path, until: Until) -> None:
    async with running(home, unused_port()):
        assert await ask(home, do="show") is None
        path = str(home / "console")
        held = [await asyncio.open_unix_connection(path) for _ in range(console.ASKING_MAX)]
        for noise in (b"\n", b"[]\n", b"{]\n", b"\xff\xfe\n", b"[" * 4000 + b"\n", b"x" * 100_000):
            reader, writer = held.pop()
            writer.write(noise)
            await asyncio.wait_for(reader.read(), 10)  # an answer or none, and the end
            writer.close()
            held.insert(0, await asyncio.open_unix_connection(path))
        for _, writer in held:
            writer.close()
        await asked_until(home, "show", "station_console_silent")  # until those are gone
        assert await enter(home) == {"name": NAME, "birth_year": 1951}


def test_a_path_that_no_socket_fits_in_is_said(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="station_console_path"):
        console.ask(tmp_path / ("x" * 120), {"do": "show"})


def test_nobody_there_and_somebody_else_there_are_told_apart(home: Path) -> None:
    with pytest.raises(StationError, match="station_not_running"):
        console.ask(home, {"do": "show"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "console"))
        listener.listen()
        with pytest.raises(StationError, match="station_console_silent"):
            console.ask(home, {"do": "show"}, wait_s=0.2)


async def test_the_station_measures_without_a_console(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    deep = tmp_path / ("x" * 120)
    async with running(deep, int(server.url.rsplit(":", 1)[1])):
        await until(lambda: len(server.chunks) > 3, "samples arrive")


async def test_it_is_told_after_the_clock_and_announced_once_kept(
    protocol_server: Start, until: Until, home: Path
) -> None:
    server, port = await protocol_server(), unused_port()
    await server.stop()
    server.attachment = str(uuid.uuid4())  # whoever was there before, by the server's word
    async with running(home, port):
        await ask(home, do="show")
        await until(lambda: described(home) == [None], "nobody's samples first")
        assert await enter(home, "Demo first")
        await until(lambda: len(described(home)) == 2, "samples of the first")
        assert await enter(home)
        await server.start(port)
        await until(lambda: None in announced(server), "nobody's samples go at once")
        assert await ask(home, do="gone") == await enter(home) == "station_online"
        assert not told(server)
        await clocked(server)
        await until(lambda: len(told(server)) == 1, "the first is told")
        first = told(server)[0]
        assert (first["name"], first["birth_year"]) == ("Demo first", 1951) and first["to_us"] > first["from_us"]
        await server.say({"type": "renew", "attachment": str(uuid.uuid4())})  # of a time before they came
        refusal = {"type": "error", "attachment": first["attachment"], "error": {"code": "clock_unknown", "params": {}}}
        await server.say(refusal)
        await clocked(server)
        await until(lambda: len(told(server)) == 2, "told again")
        assert told(server)[1] == first
        await server.say({"type": "provisional_kept", "attachment": first["attachment"], "ended": True})
        await until(lambda: len(told(server)) == 3, "then the second")
        second = told(server)[2]
        assert (second["name"], second["to_us"]) == (NAME, None)
        await until(lambda: first["attachment"] in announced(server), "what was measured of the first goes")
        assert {one for one in announced(server) if one} == {first["attachment"]}
        await server.say({"type": "provisional_kept", "attachment": second["attachment"], "ended": False})
        await until(lambda: second["attachment"] in announced(server), "and of the second")
        numbers = [message["stream"]["number"] for message in server.announces
                   if message["stream"]["attachment"] == second["attachment"]]  # fmt: skip
        await until(lambda: any((number, 5) in server.chunks for number in numbers), "its samples")
        assert set(announced(server)) == {None, first["attachment"], second["attachment"]}, "nobody else's"
        await server.say({"type": "renew", "attachment": None})
        await until(lambda: announced(server)[-1] is None, "obeyed, now that the server knows")
        assert await ask(home, do="show") is None
        await until(lambda: not server.out_of_order and not server.differs, "in order")


async def test_who_is_refused_is_nobodys_until_the_server_says_something_new(
    protocol_server: Start, until: Until, home: Path
) -> None:
    server, port = await protocol_server(), unused_port()
    await server.stop()
    server.attachment = before = str(uuid.uuid4())
    async with running(home, port):
        assert await enter(home)
        await server.start(port)
        await until(lambda: server.hellos == 1 and bool(server.sockets), "connected")
        await clocked(server)
        await until(lambda: len(told(server)) == 1, "told")
        attachment = told(server)[0]["attachment"]
        await server.say(
            {"type": "error", "attachment": attachment, "error": {"code": "attachment_refused", "params": {}}})
        await until(lambda: {attachment, None} <= set(announced(server)), "it is nobody's from now on")
        assert await ask(home, do="show") is None
        await server.reset()
        await until(lambda: server.hellos == 2 and bool(server.sockets), "connected again")
        await clocked(server)
        await until(lambda: announced(server).count(None) >= 2, "announced again")
        assert before not in announced(server) and len(told(server)) == 1
        later = str(uuid.uuid4())
        await server.say({"type": "renew", "attachment": later})
        await until(lambda: announced(server)[-1] == later, "somebody there decided")
    spool = SpoolThread(home / "spool.sqlite3")
    people = People(spool)
    await people.load()
    assert people._all == []
    await spool.close()


async def test_an_end_without_a_line_is_told_before_the_server_is_obeyed(
    protocol_server: Start, until: Until, home: Path
) -> None:
    server, port = await protocol_server(), unused_port()
    await server.stop()
    async with running(home, port):
        assert await enter(home)
        await server.start(port)
        await until(lambda: bool(server.sockets), "connected")
        await clocked(server)
        await until(lambda: len(told(server)) == 1, "told")
        attachment = server.attachment = told(server)[0]["attachment"]
        await server.say({"type": "provisional_kept", "attachment": attachment, "ended": False})
        await until(lambda: attachment in announced(server), "kept")
        await server.stop()

        assert await asked_until(home, "gone", "station_online") is None
        count = len(server.announces)
        await server.start(port)
        await until(lambda: len(server.announces) > count, "back")
        await clocked(server)
        await until(lambda: len(told(server)) == 2, "the end is told")
        assert told(server)[1]["to_us"] > told(server)[1]["from_us"]
        fresh = {message["stream"]["number"] for message in server.announces[count:]
                 if message["stream"]["attachment"] == attachment}  # fmt: skip
        assert fresh <= {message["stream"]["number"] for message in server.announces[:count]}, "no more of it"
        await server.say({"type": "provisional_kept", "attachment": attachment, "ended": True})
        await server.say({"type": "renew", "attachment": None})
        await until(lambda: announced(server)[-1] is None, "nobody's")
