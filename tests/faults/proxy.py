"""Between the server and PostgreSQL: hands bytes on, knows what a COMMIT is, and cuts one when told to.

Messages from the client are followed by their type and length (PostgreSQL 18 documentation, 54.2 and 54.7); what
the server answers is handed on unread. A statement outside a transaction is committed by the Sync that follows it
(54.2.3). Only what commits chunks counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

BLOCK = 256 * 1024
CHUNKS = b"insert into chunk"  # in the text of the statements that store chunks, within this many bytes of a message:
HEAD_BYTES = 1_024
COMMIT_S = 0.05  # ten times what one takes; whether it was enough does not matter to what is proved
SSL_REQUEST = 80877103  # 54.7: SSLRequest, answered with one byte


class _Cut:
    """One cut that is waited for, or was made."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # when, monotonic ns


class Proxy:
    """Listens on a free loopback port; every connection has one of its own to the socket file."""

    def __init__(self, socket_file: Path) -> None:
        self._socket_file = socket_file
        self._server: asyncio.Server | None = None
        self._armed: _Cut | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.commits = 0  # of transactions that carried chunks

    async def open(self) -> None:
        """Start to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=BLOCK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self, how: str, seconds: float) -> int | None:
        """Cut the next COMMIT that carries chunks, one of ``schedule.CUTS``: when it was, or None if none came."""
        cut = self._armed = _Cut(how)
        try:
            async with asyncio.timeout(seconds):
                return await cut.done
        except TimeoutError:
            return None
        finally:
            if self._armed is cut:
                self._armed = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            back_reader, back_writer = await asyncio.open_unix_connection(str(self._socket_file), limit=BLOCK)
            ends.append(back_writer)
            halves = [
                asyncio.create_task(self._forward(reader, back_writer, writer)),
                asyncio.create_task(_hand_on(back_reader, writer)),
            ]
            try:
                await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for half in halves:
                    half.cancel()
                await asyncio.gather(*halves, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # PostgreSQL is away, or the run is over
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, front: asyncio.StreamWriter
    ) -> None:
        watching = Transaction()
        while block := await reader.read(BLOCK):
            carried = watching.take(block)
            self.commits += carried
            cut = self._armed
            if carried and cut is not None and not cut.done.done():
                self._armed = None
                front.transport.abort()  # whatever the answer is, nobody hears it
                cut.done.set_result(time.monotonic_ns())
                if cut.how != "before":
                    back.write(block)
                    await back.drain()
                if cut.how == "after":
                    await _committed(back)
                back.transport.abort()
                return
            back.write(block)
            await back.drain()


async def _committed(back: asyncio.StreamWriter) -> None:
    """End the connection in order, and leave PostgreSQL the time that a COMMIT takes before it is gone."""
    with contextlib.suppress(OSError):
        back.write_eof()
    await asyncio.sleep(COMMIT_S)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(BLOCK):
        writer.write(block)
        await writer.drain()


class Transaction:
    """Follows the messages of one client: ``take`` says whether a COMMIT that carries chunks ends in this block.

    asyncpg sends BEGIN and COMMIT as simple queries, each alone and waited for.
    """

    def __init__(self) -> None:
        self._held = bytearray()  # of a message's type and length, then of its first bytes
        self._kind = b""
        self._left = 0  # bytes of the current message that are still to come
        self._started = False
        self._within = False  # an explicit transaction
        self._carried = False
        self._stores: set[bytes] = set()  # prepared statements that store chunks

    def take(self, block: bytes) -> bool:
        """Whether the block holds the end of such a message."""
        found = False
        view = memoryview(block)
        while view:
            if self._kind:
                part = view[: self._left]
                self._held += part[: max(0, HEAD_BYTES - len(self._held))]
                self._left -= len(part)
                view = view[len(part) :]
            else:
                head = 5 if self._started else 8
                part = view[: head - len(self._held)]
                self._held += part
                view = view[len(part) :]
                if len(self._held) < head:
                    return found
                if not self._started:
                    length, code = int.from_bytes(self._held[:4], "big"), int.from_bytes(self._held[4:8], "big")
                    self._kind, self._left, self._started = b"start", length - 8, code != SSL_REQUEST
                else:
                    self._kind, self._left = bytes(self._held[:1]), int.from_bytes(self._held[1:5], "big") - 4
                self._held.clear()
            if self._left == 0:
                found = self._message(self._kind, bytes(self._held)) or found
                self._kind = b""
                self._held.clear()
        return found

    def _message(self, kind: bytes, body: bytes) -> bool:
        """Whether this message commits chunks."""
        match kind:
            case b"P":  # Parse: statement, query
                name, text = body.split(b"\0", 1)
                if CHUNKS in text:
                    self._stores.add(name)
                else:
                    self._stores.discard(name)
            case b"B":  # Bind: portal, statement
                self._carried = self._carried or body.split(b"\0", 2)[1] in self._stores
            case b"S" if not self._within:  # Sync
                carried, self._carried = self._carried, False
                return carried
            case b"Q":
                text = body.rstrip(b"\0").strip()
                if text.startswith(b"BEGIN"):
                    self._carried, self._within = False, True
                elif text.startswith((b"COMMIT", b"ROLLBACK")):
                    carried, self._carried, self._within = self._carried, False, False
                    return carried and text.startswith(b"COMMIT")
        return False
