"""The relay process as the server sees it: started when it is first needed, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tempfile
from dataclasses import asdict, fields
from itertools import count
from pathlib import Path
from typing import Any, Literal

from telemed.media import wire
from telemed.media.backend import Counts, Role
from telemed.media.engine import Event, RelayUnavailable, Tapped
from telemed.media.terms import Ground, Place, Terms
from telemed.supervise import Death, Kept, Program, Supervisor

logger = logging.getLogger(__name__)

SOCKET = "TELEMED_RELAY_SOCKET"  # environment of the relay: where the server listens
READY_SECONDS = 8.0  # to start; importing takes one on a quiet machine
ANSWER_SECONDS = 5.0  # to answer; it takes a millisecond
UNSENT_BYTES = 4_194_304  # waiting for a relay that does not read: it is dead, and is killed
LOOK_SECONDS = 1.0  # between looks whether the relay has said anything; it does twice a second
SILENT_LOOKS = 6  # in a row without a word: it hangs. However long this process itself was held up, that is one look


RelayState = Literal["ok", "idle", "unavailable"]


class RelayClient:
    """An ``Engine`` in a process of its own. ``announced`` and ``number`` as ``Port`` takes them."""

    def __init__(self, announced: tuple[str, ...], number: int = 0, *, local_only: bool = False) -> None:
        self.counts = Counts()
        self.on_event: Event = lambda event: None
        self.on_tapped: Tapped = lambda message: None
        self.number = number
        self._announced = announced
        self._local_only = local_only
        self._before = Counts()  # what relays that died had counted
        self._supervisor = Supervisor(self._died)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._listening: asyncio.Server | None = None
        self._kept: Kept | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready = asyncio.Event()
        self._starting = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = count(1)
        self._silent_looks = 0
        self._looking: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The relay's process id, or None while there is none."""
        return None if self._kept is None else self._kept.pid

    @property
    def state(self) -> RelayState:
        """``idle`` before it was first needed, ``unavailable`` while it is being started, else ``ok``."""
        return "ok" if self._ready.is_set() else "idle" if self._listening is None else "unavailable"

    async def start(self) -> None:
        """Have a relay that is ready; returns at once when there is. Raises ``RelayUnavailable``."""
        async with self._starting:
            if self._stopped:
                raise RelayUnavailable()
            if self._listening is None:
                await self._begin()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise RelayUnavailable() from None

    async def open(
        self, leg: str, role: Role, publication: str, terms: Terms, place: Place | None = None
    ) -> Ground:
        """See ``Engine.open``."""
        await self.start()
        where = None if place is None else asdict(place)
        said = {"do": "open", "leg": leg, "role": role, "publication": publication, "place": where}
        said["terms"] = asdict(terms)
        return wire.ground_of((await self._ask(said))["ground"])

    async def restart(self, leg: str, ufrag: str, password: str) -> Ground:
        """See ``Engine.restart``."""
        said = {"do": "restart", "leg": leg, "ufrag": ufrag, "password": password}
        return wire.ground_of((await self._ask(said))["ground"])

    async def close(self, leg: str) -> None:
        """See ``Engine.close``."""
        if self._writer is not None:
            with contextlib.suppress(RelayUnavailable):
                await self._ask({"do": "close", "leg": leg})

    def succeed(self, publication: str, leg: str) -> None:
        """See ``Engine.succeed``."""
        self._say({"do": "succeed", "publication": publication, "leg": leg})

    def keyframe(self, publication: str) -> None:
        """See ``Engine.keyframe``."""
        self._say({"do": "keyframe", "publication": publication})

    def bound(self, publication: str, video_bits_s: int) -> None:
        """See ``Engine.bound``."""
        self._say({"do": "bound", "publication": publication, "video_bits_s": video_bits_s})

    def tap(self, publication: str, number: int | None) -> None:
        """See ``Engine.tap``."""
        self._say({"do": "tap", "publication": publication, "number": number})

    async def stop(self) -> None:
        """End the process; idempotent."""
        self._stopped = True
        if self._looking is not None:
            self._looking.cancel()
        async with self._starting:
            await self._supervisor.stop()
            if self._listening is not None:
                self._listening.close()
            if self._writer is not None:
                self._writer.close()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    async def _begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="telemed-")  # mode 0700: nobody else's relay connects
        path = str(Path(self._folder.name) / "relay")
        self._listening = await asyncio.start_unix_server(self._connected, path)
        program = Program("relay", (sys.executable, "-m", "telemed.media.relay"), {SOCKET: path})
        self._kept = await self._supervisor.start(program)
        self._looking = asyncio.create_task(self._look(), name="relay is heard")

    async def _look(self) -> None:
        """End a relay that lives and says nothing: it is started again as one that died."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._silent_looks += 1
            if self._writer is not None and self._silent_looks >= SILENT_LOOKS:
                logger.error("the relay hangs and is killed")
                self._kill()

    def _kill(self) -> None:
        process = None if self._kept is None else self._kept.process
        if process is not None and process.returncode is None and not self._stopped:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The relay's connection, for as long as it lasts; the relay lives no longer."""
        self._writer, self._silent_looks = writer, 0
        self._say({"do": "begin", "announced": self._announced, "number": self.number, "local_only": self._local_only})
        try:
            while True:
                self._heard(await wire.read(reader, self._hand_over))
        except wire.Broken:
            pass
        finally:
            self._ready.clear()
            self._writer = None
            writer.close()
            self._kill()
            self._before = Counts(**asdict(self.counts))
            asked, self._asked = self._asked, {}
            for future in asked.values():
                if not future.done():
                    future.set_exception(RelayUnavailable())
            self.on_event({"event": "down"})

    def _hand_over(self, message: bytes) -> None:
        self.on_tapped(message)

    def _heard(self, message: dict[str, Any]) -> None:
        self._silent_looks = 0
        if "answer" in message:
            future = self._asked.pop(message["answer"], None)
            if future is not None and not future.done():
                refused = message.get("refused")
                if refused is None:
                    future.set_result(message)
                else:
                    future.set_exception(wire.REFUSALS[refused]())
        elif message["event"] == "up":
            self.number = message["number"]  # the same again after a restart
            self._ready.set()
        elif message["event"] == "counts":
            for one in fields(Counts):
                setattr(self.counts, one.name, getattr(self._before, one.name) + message[one.name])
        else:
            self.on_event(message)

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._ready.is_set():
            raise RelayUnavailable()
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._say({**message, "ask": number})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            raise RelayUnavailable() from None
        finally:
            self._asked.pop(number, None)

    def _say(self, message: dict[str, Any]) -> None:
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > UNSENT_BYTES:
            writer.transport.abort()
            return
        writer.write(wire.packed(message))

    def _died(self, death: Death) -> None:
        logger.error("the relay has ended with status %d; it is started again", death.status)
