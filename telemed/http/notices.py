"""The notices socket: a waiting patient reaches its clinician on any page.

One socket a page. Within ``CHECK_SECONDS`` it ends when the sign-in does; while the database is away it stays.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import WSMsgType, web

from telemed.audit import Actor
from telemed.consultation.attendance import Renew
from telemed.consultation.waiting import waiting_for
from telemed.errors import DatabaseUnavailable, TelemedError
from telemed.http import keys
from telemed.http.route import Route
from telemed.http.sockets import renewal
from telemed.identity import policy
from telemed.store.database import DatabaseRefused
from telemed.vitals.counters import REFUSED
from telemed.vitals.faults import MessageInvalid
from telemed.vitals.hello import read_hello
from telemed.vitals.messages import FROM_PAGE, refused
from telemed.vitals.standing import CHECK_SECONDS
from telemed.vitals.watch import HEARTBEAT_SECONDS, WRITE_SECONDS

PAGE_BYTES: Final = 4_096  # of one message: a page says hello and nothing else
COALESCE_SECONDS: Final = 0.25  # changes that come together are told together
ANEW_SECONDS: Final = 10.0  # the list is read anew after this long without a change told here


class NoticesSocket:
    """One page's notices. ``renew`` says who its person is now."""

    def __init__(self, socket: web.WebSocketResponse, actor: Actor, renew: Renew, app: web.Application) -> None:
        self._socket = socket
        self._topic = f"organisation:{actor.organisation_id}"
        self._renew = renew
        self._app = app
        self._changed = asyncio.Event()
        self._closing = False
        self._told: list[dict[str, Any]] | None = None

    async def run(self) -> None:
        """Serve until either side ends it."""
        tasks: list[asyncio.Task[None]] = []
        try:
            tasks = [asyncio.create_task(self._listen())]  # before the first look, or a change between is missed
            await asyncio.sleep(0)
            await read_hello(self._socket, FROM_PAGE)
            await self._look(changed=False)
            tasks += [asyncio.create_task(self._read()), asyncio.create_task(self._tell())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (failure := task.exception()) is not None and not isinstance(failure, ConnectionError):
                    raise failure
        except TelemedError as error:
            await self._refuse_and_close(error)
        except ConnectionError:
            pass  # the page is gone
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._socket.closed:
                await self._socket.close(code=1001 if self._closing else 1000)

    def going_away(self) -> None:
        """The server stops: close without blame; the page comes back."""
        self._closing = True
        self._changed.set()

    async def _listen(self) -> None:
        with self._app[keys.ROOMS].listen(self._topic) as listener:
            while not listener.closed.is_set():
                await listener.queue.get()
                self._changed.set()

    async def _read(self) -> None:
        """Wait for the page to go; whatever else it says is refused and ends the socket."""
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise MessageInvalid(field="type")

    async def _tell(self) -> None:
        quiet = 0.0
        while not self._closing:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                quiet += CHECK_SECONDS
            changed = self._changed.is_set()
            if changed and not self._closing:
                await asyncio.sleep(COALESCE_SECONDS)
            self._changed.clear()
            try:
                if changed or quiet >= ANEW_SECONDS:
                    await self._look(changed=changed)
                    quiet = 0.0
                else:
                    await self._check()
            except (DatabaseUnavailable, DatabaseRefused):
                quiet = ANEW_SECONDS  # read anew as soon as it is back

    async def _check(self) -> None:
        async with self._app[keys.DATABASE].connection() as connection:
            await self._renew(connection)

    async def _look(self, *, changed: bool) -> None:
        async with self._app[keys.DATABASE].connection() as connection:
            actor = await self._renew(connection)
            policy.admits(actor, "notices_socket.hello")
            found = await waiting_for(connection, self._app[keys.SEALER], actor)
        waiting = [one.as_json() for one in found]
        if waiting != self._told:
            self._told = waiting
            await self._send({"type": "waiting", "waiting": waiting})
        if changed:
            await self._send({"type": "worklist"})

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(json.dumps(message))
        except TimeoutError:
            raise ConnectionResetError("write deadline") from None

    async def _refuse_and_close(self, error: TelemedError) -> None:
        REFUSED.labels("notices", error.code).inc()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(refused(error.code, error.params))
                await self._socket.close(code=4000, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            pass  # the page is gone


SOCKETS: Final[web.AppKey[set[NoticesSocket]]] = web.AppKey("NOTICES_SOCKETS", set)


async def notices_socket(request: web.Request) -> web.StreamResponse:
    """A page's notices."""
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].connection() as connection:
        await policy.require(connection, actor, "notices_socket.open")
    socket = web.WebSocketResponse(compress=False, max_msg_size=PAGE_BYTES, heartbeat=HEARTBEAT_SECONDS)
    await socket.prepare(request)
    page = NoticesSocket(socket, actor, renewal(request), app)
    app[SOCKETS].add(page)
    try:
        await page.run()
    finally:
        app[SOCKETS].discard(page)
    return socket


async def _close_sockets(app: web.Application) -> None:
    pages = app[SOCKETS]
    for page in tuple(pages):
        page.going_away()


def prepare(app: web.Application) -> None:
    """Keep the open sockets, and let them go when the server stops."""
    app[SOCKETS] = set()
    app.on_shutdown.append(_close_sockets)


PREPARE = (prepare,)
MESSAGES = ("notices_socket.hello",)
ROUTES = (
    Route("GET", "/ws/notices", "notices_socket.open", notices_socket,
          "Who waits for the signed-in person (WebSocket)", status=101),
)
