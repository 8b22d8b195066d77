"""The relay as a process of its own: it is started again when it dies, dies with its server, and says why it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from telemed.consultation.rooms import Rooms
from telemed.media import client as client_module
from telemed.media import wire
from telemed.media.backend import Publisher, ResourceNotFound
from telemed.media.client import SOCKET, RelayClient
from telemed.media.engine import RelayUnavailable
from telemed.media.plane import MediaPlane
from telemed.media.relay.__main__ import UNREAD_BYTES, Service
from telemed.media.relay.relay import Relay
from tests.media.callers import Caller, Calls, process_calls
from tests.media.conftest import ROOM, new_peer

START_SECONDS = 20.0  # of a relay, on two busy cores


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """Callers on a relay process."""
    async with process_calls() as made:
        yield made


@dataclass
class Serving:
    """The server's side of a relay process that a test has started by itself."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ended(self) -> tuple[int, str]:
        """Its status and what it wrote, once it has ended."""
        async with asyncio.timeout(START_SECONDS):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def relay_process(number: int = 0) -> AsyncIterator[Serving]:
    """A relay process told to begin on this port."""
    connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connected.put((reader, writer))

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "relay")
        listening = await asyncio.start_unix_server(accept, path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telemed.media.relay", env={**os.environ, SOCKET: path},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                reader, writer = await connected.get()
            begin = {"do": "begin", "announced": ["127.0.0.1"], "number": number, "local_only": True}
            writer.write(wire.packed(begin))
            yield Serving(process, reader, writer)
            writer.close()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            listening.close()


async def test_a_killed_relay_is_there_again_on_its_port_and_new_calls_connect(calls: Calls, wait: Any) -> None:
    client = calls.engine
    assert isinstance(client, RelayClient)
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    publisher.picture(1)
    await wait(lambda: viewer.received, "a packet arrives")
    await wait(lambda: client.counts.packets_out == 1, "it is counted")
    number, pid = client.number, client.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await wait(lambda: {"event": "down"} in calls.events, "everybody is told")
    with pytest.raises((RelayUnavailable, ResourceNotFound)):  # nothing is there, or nothing of that call
        await client.restart(viewer.name, "ufrag", "p" * 22)
    await client.start()
    assert client.pid not in (None, pid)
    assert client.number == number
    again = await calls.publisher()
    watching = await calls.viewer(again)
    payload = again.picture(7)
    await wait(lambda: watching.payloads == [payload], "a new call carries packets")
    assert len(viewer.received) == 1
    await wait(lambda: client.counts.packets_out == 2, "what was counted before is not forgotten")
    with pytest.raises(ResourceNotFound):
        await client.restart(viewer.name, "ufrag", "p" * 22)


async def test_a_relay_that_hangs_is_killed_and_another_started(
    calls: Calls, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = calls.engine
    assert isinstance(client, RelayClient)
    publisher = await calls.publisher()
    pid = client.pid
    assert pid is not None
    with monkeypatch.context() as sooner:
        sooner.setattr(client_module, "LOOK_SECONDS", 0.25)
        os.kill(pid, signal.SIGSTOP)
        await wait(lambda: {"event": "down"} in calls.events, "everybody is told")
    await client.start()
    assert client.pid not in (None, pid)
    again = await calls.publisher()
    watching = await calls.viewer(again)
    payload = again.picture(7)
    await wait(lambda: watching.payloads == [payload], "a new call carries packets")
    publisher.hush()


async def test_the_sessions_of_a_killed_relay_are_gone_and_told_of(wait: Any) -> None:
    rooms = Rooms()
    client = RelayClient(("127.0.0.1",), local_only=True)
    plane = MediaPlane(client, rooms)
    peer = new_peer()
    try:
        with rooms.listen(f"consultation:{ROOM}") as room:
            peer.pc.addTransceiver("video", direction="sendonly")
            who = Publisher("station:1", "station", "camera")
            resource = await plane.publish(ROOM, who, await peer.offer(), owner="station:1")
            await peer.accept(resource.answer_sdp)
            assert (await asyncio.wait_for(room.queue.get(), START_SECONDS))["publications"]
            assert client.pid is not None
            os.kill(client.pid, signal.SIGKILL)
            assert await asyncio.wait_for(room.queue.get(), START_SECONDS) == {
                "type": "publications", "publications": []
            }
        with pytest.raises(ResourceNotFound):
            await plane.delete(resource.id)
        assert (plane.stats().publications, plane.owners()) == (0, frozenset())
        again = new_peer()
        again.pc.addTransceiver("video", direction="sendonly")
        resource = await plane.publish(ROOM, who, await again.offer(), owner="station:1")
        await again.accept(resource.answer_sdp)
        await wait(lambda: plane.publications(ROOM), "the next one is live")
        await again.close()
    finally:
        await peer.close()
        await plane.close()


async def test_a_relay_ends_with_its_server_however_that_ends() -> None:
    """The server is killed: the kernel ends the relay, which has no word from anybody."""
    server = (
        "import asyncio, sys\n"
        "from telemed.media.client import RelayClient\n"
        "async def main():\n"
        "    client = RelayClient(('127.0.0.1',), local_only=True)\n"
        "    await client.start()\n"
        "    print(client.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", server, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    relay = int(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
    handle = os.pidfd_open(relay)
    try:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)  # readable when the process has ended
        assert not ended.is_set()
        process.kill()
        await process.wait()
        await asyncio.wait_for(ended.wait(), START_SECONDS)
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


async def test_a_relay_whose_server_says_no_more_ends_in_order() -> None:
    async with relay_process() as serving:
        assert (await wire.read(serving.reader))["event"] == "up"
        serving.writer.close()
        status, said = await serving.ended()
    assert status == 0
    assert "Traceback" not in said


async def test_a_relay_that_cannot_go_on_says_why_and_does_not_end_well() -> None:
    async with relay_process() as serving:
        assert (await wire.read(serving.reader))["event"] == "up"
        serving.writer.write(wire.packed({"do": "open", "ask": 1}))  # a server of ours never says this
        status, said = await serving.ended()
    assert status == 70
    assert "the relay cannot go on" in said
    assert "KeyError" in said


async def test_a_server_that_reads_nothing_any_more_is_taken_for_dead() -> None:
    """What waits for it is bounded, and the relay ends in order as when the server had gone."""
    held = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "relay")
        async with await asyncio.start_unix_server(accept, path):
            reader, writer = await asyncio.open_unix_connection(path)
            relay = Relay(("127.0.0.1",))
            service = Service(relay, writer)
            serving = asyncio.ensure_future(service.serve(reader))
            for _ in range(2 * UNREAD_BYTES // 100_000):
                service.say({"event": "x" * 100_000})
            assert writer.transport.get_write_buffer_size() <= UNREAD_BYTES + 200_000
            with pytest.raises(wire.Broken):
                await asyncio.wait_for(serving, START_SECONDS)
            held.set()
            await service._tasks.cancel()
            await relay.stop()


async def test_a_relay_whose_port_is_taken_says_so_in_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
        async with relay_process(number) as serving:
            with pytest.raises(wire.Broken):
                await wire.read(serving.reader)
            status, said = await serving.ended()
    assert status == 1
    assert said.splitlines() == [
        f"telemed relay: UDP port {number} on 127.0.0.1: Address already in use. "
        "Free the port or set TELEMED_MEDIA_PORT to another one."
    ]


async def test_goodbyes_and_deletions_are_told_apart(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    leaving, deleted = await calls.viewer(publisher), await calls.viewer(publisher)
    await leaving.leave()
    await wait(lambda: calls.told("gone", leaving), "a goodbye is told")
    await calls.engine.close(deleted.name)
    await wait(lambda: deleted.handshake.state == "closed", "who is deleted is told goodbye")
    assert not calls.told("gone", deleted)
    await calls.engine.close(deleted.name)  # once more is nothing
    staying = await calls.viewer(publisher)
    payload = publisher.picture(1)
    await wait(lambda: staying.payloads == [payload], "others go on")
    assert not leaving.received
    assert not deleted.received


async def test_a_caller_with_another_certificate_than_it_said_is_not_let_in(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    stranger = Caller()
    calls.callers.append(stranger)
    foreign = ":".join(["AB"] * 32)
    ground = await calls.engine.open(stranger.name, "play", publisher.name, stranger.terms(foreign))
    await stranger.connect(ground)  # OpenSSL's side is done; ours then looks whose certificate it was
    await wait(lambda: calls.told("gone", stranger), "it is put out")
    publisher.picture(1)
    viewer = await calls.viewer(publisher)
    payload = publisher.picture(2)
    await wait(lambda: viewer.payloads == [payload], "others go on")
    assert not stranger.received
    assert not calls.told("connected", stranger)
