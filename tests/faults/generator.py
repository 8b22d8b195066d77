"""Hundreds of stations over real WebSockets, in one process: prebuilt frames with a patched header.

    python -m tests.faults.generator CONFIG.json

A station makes a native chunk of twelve leads every 200 ms and a heart rate every second, keeps what is not
acknowledged, comes back when its line breaks and sends that again, as the station program does. Now and then it
sends something again that was acknowledged long ago. Everything goes into the history. Commands on standard input,
each answered by one line on standard output:

    ack ID N   after N more acknowledgements: ``ID T`` at once, T the monotonic clock in ns
    well ID P  when P per cent of the stations got an acknowledgement since the command: ``ID 0``
    finish ID  makes no more, waits until all is acknowledged, sends all of some stations again: ``ID {…}``
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import sys
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from telemed_station.backoff import Backoff

from telemed.supervise import follow_parent
from tests.faults.frames import Pack, described_wave, number_chunk, wave_chunks
from tests.faults.history import History

CHUNK_S = 0.2
NUMBER_EVERY = 5  # a heart rate beside every fifth chunk
RESEND_S = 20.0  # without an acknowledgement; the station program's 8 s are for a line that loses what TCP does not
RESEND_MOST = 8  # at once: a server that is behind is not helped by more
OLD_AGAIN = 0.01  # of the chunks bring one along that was acknowledged before
BEHIND = 32  # chunks of the backlog sent between two looks at what is live
ANNOUNCE = -1  # in place of a seq: the stream is announced once more
ALL_AGAIN = 20  # every so many-th station sends everything again at the end
SILENCE_S = 7.5
FLUSH_S = 0.25
FINISH_S = 120.0


@dataclass
class Stream:
    """One stream: what was made, and what of it is not acknowledged (seq to when it was sent, 0 if it was not)."""

    index: int
    number: int
    pack: Pack
    step_us: int
    started_us: int
    described: dict[str, Any]
    which: int
    epoch: uuid.UUID = field(default_factory=uuid.uuid4)
    next_seq: int = 0
    waiting: dict[int, float] = field(default_factory=dict)

    def data(self, seq: int) -> bytes:
        """The chunk's bytes, the same every time."""
        return self.pack(self.number, seq, self.started_us + seq * self.step_us, self.which + seq)

    def announce(self, attachment: str | None) -> str:
        """The message that tells the server of the stream."""
        stream = {
            "number": self.number, "epoch": str(self.epoch), "origin": "simulated", "attachment": attachment,
            "started_us": self.started_us, **self.described,
        }  # fmt: skip
        return json.dumps({"type": "announce", "live_from": self.next_seq, "stream": stream})


NUMBER: dict[str, Any] = {
    "device": "Test belt", "kind": "heart_rate", "format": "gatt:2a37", "rate": None, "channels": [],
}  # fmt: skip


class Load:
    """What all stations share: the history, and who waits for what."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.url: str = config["url"]
        self.leads: int = config["leads"]
        self.wave_chunk = wave_chunks(self.leads)
        self.dice = random.Random(config["seed"])
        self.history = History(Path(config["history"]))
        self.making = True
        self.sent = self.again = self.acks = self.connects = 0
        self._ack_at: tuple[int, str] | None = None
        self._well: tuple[set[int], int, str] | None = None

    def on_ack(self, station: int) -> None:
        """An acknowledgement of something came in."""
        self.acks += 1
        if self._ack_at is not None and self.acks >= self._ack_at[0]:
            _say(f"{self._ack_at[1]} {time.monotonic_ns()}")
            self._ack_at = None
        if self._well is not None:
            stations, wanted, name = self._well
            stations.add(station)
            if len(stations) >= wanted:
                self._well = None
                _say(f"{name} 0")

    def wait_ack(self, name: str, count: int) -> None:
        """Say so after this many more; what was waited for before is forgotten."""
        self._ack_at = (self.acks + count, name)

    def wait_well(self, name: str, stations: int) -> None:
        """Say so when so many stations were acknowledged something."""
        self._well = (set(), stations, name)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Station:
    """One station: it makes chunks whether or not it is connected."""

    def __init__(self, load: Load, at: int, config: dict[str, Any]) -> None:
        self._load = load
        self.id: int = config["id"]
        self._key: str = config["key"]
        self._attachment: str | None = config["attachment"]
        self._source = str(uuid.uuid4())
        self._backoff = Backoff(random.Random(at))
        now_us = time.time_ns() // 1000
        step_us = round(CHUNK_S * 1_000_000)
        self.streams = {
            1: Stream(2 * at, 1, load.wave_chunk, step_us, now_us, described_wave(load.leads), 7 * at),
            2: Stream(2 * at + 1, 2, number_chunk, step_us * NUMBER_EVERY, now_us, NUMBER, at),
        }
        for stream in self.streams.values():
            load.history.add(stream=stream.index, station=self.id, number=stream.number, epoch=str(stream.epoch))
        self._queue: deque[tuple[Stream, int]] = deque()
        self._wake = asyncio.Event()
        self._ready = False
        self.heard = asyncio.Event()  # an announcement was answered: all that went before it was taken

    @property
    def waiting(self) -> int:
        """Chunks made and not acknowledged."""
        return sum(len(stream.waiting) for stream in self.streams.values())

    async def make(self, phase_s: float) -> None:
        """A chunk every 200 ms, for as long as the load makes any."""
        loop = asyncio.get_running_loop()
        due = loop.time() + phase_s
        count = 0
        while self._load.making:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due += CHUNK_S
            self._made(self.streams[1])
            if count % NUMBER_EVERY == 0:
                self._made(self.streams[2])
            count += 1
            self._overdue(loop.time())
            self._wake.set()

    def _made(self, stream: Stream) -> None:
        seq, stream.next_seq = stream.next_seq, stream.next_seq + 1
        digest = hashlib.sha256(stream.data(seq)).hexdigest()
        self._load.history.raw(f'{{"sent": {stream.index}, "seq": {seq}, "sha256": "{digest}"}}')
        stream.waiting[seq] = 0.0
        if self._ready:
            self._queue.append((stream, seq))
            if seq and self._load.dice.random() < OLD_AGAIN:
                self._queue.append((stream, self._load.dice.randrange(seq)))

    def _overdue(self, now: float) -> None:
        for stream in self.streams.values():
            oldest = next(iter(stream.waiting.values()), now)
            if self._ready and 0 < oldest < now - RESEND_S:
                late = [seq for seq, at in stream.waiting.items() if 0 < at < now - RESEND_S][:RESEND_MOST]
                self._queue.extend((stream, seq) for seq in late)
                stream.waiting.update(dict.fromkeys(late, now))

    def everything_again(self) -> None:
        """Send all that was ever made once more."""
        for stream in self.streams.values():
            self._queue.extend((stream, seq) for seq in range(stream.next_seq))
        self._queue.append((self.streams[1], ANNOUNCE))
        self.heard = asyncio.Event()
        self._wake.set()

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Connect, carry, come back; for ever."""
        while True:
            try:
                async with http.ws_connect(
                    "/ws/station", headers={"Authorization": f"Bearer {self._key}"}, max_msg_size=1 << 20,
                    timeout=aiohttp.ClientWSTimeout(ws_close=0.2),
                ) as socket:  # fmt: skip
                    self._load.connects += 1
                    await self._carry(socket)
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            finally:
                self._ready = False
                self._queue.clear()
            await asyncio.sleep(self._backoff.next_s())

    async def _carry(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str(json.dumps({
            "type": "hello", "protocol": 1, "oldest": 1, "program": "faults", "source": self._source}))
        answered: set[int] = set()
        sending: asyncio.Task[None] | None = None
        try:
            while True:
                message = await socket.receive(SILENCE_S)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                said = json.loads(message.data)
                match said["type"]:
                    case "clock_ask":
                        stamp = {"type": "clock", "echo": said["server_us"], "stamp_us": time.time_ns() // 1000}
                        await socket.send_str(json.dumps(stamp))
                    case "welcome":
                        for stream in self.streams.values():
                            await socket.send_str(stream.announce(self._attachment))
                    case "announced" | "ack":
                        self._acknowledged(said)
                        if said["type"] == "announced":
                            self.heard.set()
                        answered.add(said["number"])
                        if sending is None and len(answered) == len(self.streams):
                            self._backoff.reset()
                            sending = asyncio.create_task(self._send(socket))
                    case "error":
                        self._refused(said)
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """What is not acknowledged, then what comes; live before backlog."""
        backlog = deque((stream, seq) for stream in self.streams.values() for seq in stream.waiting)
        self._ready = True
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while True:
                while self._queue:
                    await self._put(socket, *self._queue.popleft(), loop.time())
                for _ in range(min(BEHIND, len(backlog))):
                    stream, seq = backlog.popleft()
                    if seq in stream.waiting:
                        await self._put(socket, stream, seq, loop.time())
                if not backlog:
                    self._wake.clear()
                    if not self._queue:
                        await self._wake.wait()

    async def _put(self, socket: aiohttp.ClientWebSocketResponse, stream: Stream, seq: int, now: float) -> None:
        if seq == ANNOUNCE:
            await socket.send_str(stream.announce(self._attachment))
            return
        if stream.waiting.get(seq, 1.0):
            self._load.again += 1
        else:
            self._load.sent += 1
        if seq in stream.waiting:
            stream.waiting[seq] = now
        await socket.send_bytes(stream.data(seq))

    def _acknowledged(self, said: dict[str, Any]) -> None:
        stream = self.streams[said["number"]]
        through = -1 if said["through"] is None else said["through"]
        before = next(iter(stream.waiting), stream.next_seq)  # all below were acknowledged
        if said["type"] == "announced" and through < before - 1:
            self._load.history.add(forgotten=stream.index, through=through, acked=before - 1)
        ranges = [(0, through), *said["ranges"]]
        told = [seq for seq in stream.waiting if any(low <= seq <= high for low, high in ranges)]
        for seq in told:
            del stream.waiting[seq]
        told += [seq for low, high in ranges for seq in range(max(low, stream.next_seq), high + 1)]  # never made
        if told:
            text = ", ".join(f"[{low}, {high}]" for low, high in runs(told))
            self._load.history.raw(f'{{"acked": {stream.index}, "ranges": [{text}]}}')
            self._load.on_ack(self.id)

    def _refused(self, said: dict[str, Any]) -> None:
        stream = self.streams.get(said.get("stream") or 0)
        self._load.history.add(
            refused=-1 if stream is None else stream.index, seq=said.get("seq"), code=said["error"]["code"])


def runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


async def obey(load: Load, stations: list[Station]) -> None:
    """Commands until ``finish``."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        match line:
            case ["ack", name, count]:
                load.wait_ack(name, int(count))
            case ["well", name, percent]:
                load.wait_well(name, max(1, len(stations) * int(percent) // 100))
            case ["finish", name]:
                await finish(load, stations)
                _say(name + " " + json.dumps({"sent": load.sent, "again": load.again, "connects": load.connects}))
                return


async def finish(load: Load, stations: list[Station]) -> None:
    """Make no more; until all is acknowledged, and what some stations send again has gone out."""
    load.making = False
    async with asyncio.timeout(FINISH_S):
        while any(station.waiting for station in stations):  # noqa: ASYNC110 - three hundred conditions
            await asyncio.sleep(0.05)
        chosen = stations[::ALL_AGAIN]
        for station in chosen:
            station.everything_again()
        for station in chosen:
            await station.heard.wait()
    load.history.add(again=load.again)
    load.history.flush()


async def flush(load: Load) -> None:
    """The history, four times a second."""
    while True:
        await asyncio.sleep(FLUSH_S)
        load.history.flush()


async def main(config: dict[str, Any]) -> None:
    """All stations, until told to finish or until the harness is gone."""
    load = Load(config)
    stations = [Station(load, at, one) for at, one in enumerate(config["stations"])]
    load.history.flush()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2.0)
    async with aiohttp.ClientSession(config["url"], connector=connector, timeout=timeout) as http:
        async with asyncio.TaskGroup() as group:  # whoever fails ends all
            tasks = [group.create_task(flush(load))]
            for at, station in enumerate(stations):
                tasks.append(group.create_task(station.run(http)))
                tasks.append(group.create_task(station.make(CHUNK_S * at / len(stations))))
            await obey(load, stations)
            for task in tasks:
                task.cancel()
    load.history.close()


if __name__ == "__main__":
    follow_parent()
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
