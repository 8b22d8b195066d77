"""The relay process: ``python -m telemed.media.relay``, started by the server, over whose Unix socket it is told."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import sys
from dataclasses import asdict
from typing import Any

from telemed.media import wire
from telemed.media.backend import MediaError
from telemed.media.client import SOCKET
from telemed.media.relay.port import PortUnavailable
from telemed.media.relay.relay import Relay
from telemed.media.terms import Place
from telemed.supervise import follow_parent, stop_signals
from telemed.tasks import Tasks

logger = logging.getLogger(__name__)

COUNTS_SECONDS = 0.5  # between reports of the counts
UNTAKEN_BYTES = 8_388_608  # of taps that the server has not read: 4 s of twenty pictures; more is left out
UNREAD_BYTES = 16_777_216  # of all that is said: twice what taps may leave there
FAILED_STATUS = 70  # of a relay that met a fault of its own (sysexits.h, EX_SOFTWARE)


class Service:
    """Does what the server says until it says no more."""

    def __init__(self, relay: Relay, writer: asyncio.StreamWriter) -> None:
        self._relay = relay
        self._writer = writer
        self._tasks = Tasks(logger, "a media task")
        relay.on_event = self.say
        relay.on_tapped = self._tapped

    def say(self, message: dict[str, Any]) -> None:
        """Tell the server. One that reads nothing any more is taken for dead."""
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._writer.transport.abort()
        else:
            self._writer.write(wire.packed(message))

    def _tapped(self, message: bytes) -> None:
        if not self._writer.is_closing() and self._writer.transport.get_write_buffer_size() < UNTAKEN_BYTES:
            self._writer.write(wire.framed(message))

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Take messages one by one; goodbyes are said meanwhile."""
        self.say({"event": "up", "number": self._relay.number})
        self._tasks.start(self._count())
        while True:
            message = await wire.read(reader)
            if message["do"] == "close":
                self._tasks.start(self._close(message))
            else:
                await self._do(message)

    async def _do(self, message: dict[str, Any]) -> None:
        relay = self._relay
        try:
            match message["do"]:
                case "open":
                    terms = wire.terms_of(message["terms"])
                    place = None if message["place"] is None else Place(**message["place"])
                    ground = await relay.open(message["leg"], message["role"], message["publication"], terms, place)
                    self.say(wire.answer(message["ask"], ground))
                case "restart":
                    ground = await relay.restart(message["leg"], message["ufrag"], message["password"])
                    self.say(wire.answer(message["ask"], ground))
                case "succeed":
                    relay.succeed(message["publication"], message["leg"])
                case "keyframe":
                    relay.keyframe(message["publication"])
                case "bound":
                    relay.bound(message["publication"], message["video_bits_s"])
                case "tap":
                    relay.tap(message["publication"], message["number"])
        except MediaError as error:
            self.say(wire.answer(message["ask"], None) | wire.refusal(error))

    async def _close(self, message: dict[str, Any]) -> None:
        await self._relay.close(message["leg"])
        self.say(wire.answer(message["ask"], None))

    async def _count(self) -> None:
        while True:
            self.say({"event": "counts", **asdict(self._relay.counts)})
            await asyncio.sleep(COUNTS_SECONDS)


async def run(path: str) -> None:
    """Connect to the server and relay until it goes or a signal comes. What else ends it is logged, and raised."""
    reader, writer = await asyncio.open_unix_connection(path)
    begin = await wire.read(reader)
    try:
        relay = Relay(tuple(begin["announced"]), begin["number"], local_only=begin["local_only"])
    except PortUnavailable as error:
        taken = error.errno == errno.EADDRINUSE
        advice = "Free the port or set TELEMED_MEDIA_PORT to another one." if taken else "See TELEMED_PUBLIC_ADDRESS."
        sys.exit(f"telemed relay: {error.strerror}. {advice}")
    # What is there now stays: the collector need not look at it again and again between two packets.
    gc.collect()
    gc.freeze()
    with stop_signals() as stop:
        serving = asyncio.ensure_future(Service(relay, writer).serve(reader))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, stopping):
            task.cancel()
        ended, _ = await asyncio.gather(serving, stopping, return_exceptions=True)
        await relay.stop()
    if not isinstance(ended, wire.Broken | asyncio.CancelledError):
        logger.critical("the relay cannot go on", exc_info=ended)
        sys.exit(FAILED_STATUS)


if __name__ == "__main__":
    follow_parent()
    logging.basicConfig(level=logging.INFO, format="relay %(levelname)s %(message)s")
    asyncio.run(run(os.environ[SOCKET]))
