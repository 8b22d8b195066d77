"""The servers side by side, each in the server's namespace with settings of its own: Janus, and drivers in Python.

Janus is given every advantage that its configuration has for this work: two event loops (its maintainers' answer to
many viewers, and one for each of our two cores), ICE-lite as the relay, no header extensions to negotiate, neither
events nor other plug-ins nor debugging, no limit on the publisher's rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from _media_lines import ASK_SECONDS, Child, die_with_parent
from _media_net import SERVER_ADDRESS, inside

ROOM, FEED = 1, 1
LIBRARIES = Path("/usr/lib")
LOOPS = 2
START_SECONDS = 10.0


class ViewerPeer(Protocol):
    """A viewer's side of the negotiation, whoever begins."""

    async def offer(self) -> str: ...
    async def accept(self, answer: str) -> None: ...
    async def answer(self, offer: str) -> str: ...


class Server(Protocol):
    """A server that is measured. ``pid`` is of the process whose CPU counts."""

    @property
    def pid(self) -> int: ...
    async def publish(self, offer: str) -> str: ...
    async def play(self, viewer: ViewerPeer) -> None: ...
    async def stop(self) -> None: ...


class Driver:
    """A server whose driver is a Python program here that answers offers (see ``_media_lines``)."""

    def __init__(self, child: Child, pid: int) -> None:
        self._child = child
        self.pid = pid

    @classmethod
    async def start(cls, program: str, namespace: str, folder: Path) -> Driver:
        """Start the program in the namespace; it says whose CPU counts."""
        path = str(Path(__file__).with_name(program))
        child = await Child.start(inside(namespace, sys.executable, path, SERVER_ADDRESS), folder / f"{program}.log")
        try:
            return cls(child, (await child.ask("start"))["pid"])
        except BaseException:
            await child.stop()
            raise

    async def publish(self, offer: str) -> str:
        """Its answer to the publisher's offer."""
        return str((await self._child.ask("publish", sdp=offer))["sdp"])

    async def play(self, viewer: ViewerPeer) -> None:
        """The viewer offers, the server answers."""
        await viewer.accept((await self._child.ask("play", sdp=await viewer.offer()))["sdp"])

    async def stop(self) -> None:
        """End it."""
        await self._child.stop()


class Janus:
    """Debian's janus with one room; asked over a WebSocket on a Unix socket, which no namespace hides."""

    def __init__(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession, log: Path) -> None:
        self._process = process
        self._http = http
        self._log = log
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._open: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._session = 0

    @classmethod
    async def start(cls, namespace: str, folder: Path) -> Janus:
        """Start it with a configuration of its own in ``folder`` and make the room."""
        configuration, path, log = folder / "janus", folder / "janus.socket", folder / "janus.log"
        configuration.mkdir()
        for name, text in _configuration(path).items():
            (configuration / name).write_text(text)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *inside(namespace, "janus", "-F", str(configuration)), stdin=asyncio.subprocess.DEVNULL,
                stdout=output, stderr=output, preexec_fn=die_with_parent,
            )
        server = cls(process, aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))), log)
        try:
            await server._begin()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """Janus itself: ``ip`` has replaced itself by it."""
        return self._process.pid

    async def publish(self, offer: str) -> str:
        """Join as the one publisher of the room."""
        handle = await self._attach()
        await self._message(handle, {"request": "join", "ptype": "publisher", "room": ROOM, "id": FEED})
        event = await self._message(handle, {"request": "publish"}, {"type": "offer", "sdp": offer})
        return str(event["jsep"]["sdp"])

    async def play(self, viewer: ViewerPeer) -> None:
        """Janus offers both kinds in one peer connection, the viewer answers."""
        handle = await self._attach()
        joining = {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{"feed": FEED}]}
        event = await self._message(handle, joining)
        answer = await viewer.answer(event["jsep"]["sdp"])
        await self._message(handle, {"request": "start"}, {"type": "answer", "sdp": answer})

    async def stop(self) -> None:
        """End it."""
        if self._reader is not None:
            self._reader.cancel()
        await self._http.close()
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def _begin(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            while self._socket is None:
                if self._process.returncode is not None:
                    raise RuntimeError(f"janus ended\n{self._said()}")
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    self._socket = await self._http.ws_connect(
                        "ws://janus/", protocols=("janus-protocol",), max_msg_size=1 << 20
                    )
                await asyncio.sleep(0.05)
        self._reader = asyncio.create_task(self._read(self._socket))
        self._session = (await self._ask({"janus": "create"}))["data"]["id"]
        room = {
            "request": "create", "room": ROOM, "publishers": 1, "bitrate": 0, "fir_freq": 0, "audiocodec": "opus",
            "videocodec": "vp8", "audiolevel_ext": False, "videoorient_ext": False, "playoutdelay_ext": False,
            "transport_wide_cc_ext": False,
        }
        await self._message(await self._attach(), room)

    async def _attach(self) -> int:
        answer = await self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"})
        return int(answer["data"]["id"])

    async def _message(self, handle: int, body: dict[str, Any], jsep: dict[str, Any] | None = None) -> dict[str, Any]:
        asked = {"janus": "message", "handle_id": handle, "body": body, **({"jsep": jsep} if jsep else {})}
        answer = await self._ask(asked)
        data = answer.get("plugindata", {}).get("data", {})
        if "error" in data:
            raise RuntimeError(f"janus: {body['request']}: {data['error']}")
        return answer

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer; of a request that is answered later by an event, the event."""
        assert self._socket is not None
        transaction = f"{next(self._numbers)}-{secrets.token_hex(4)}"
        future = self._open[transaction] = asyncio.get_running_loop().create_future()
        session = {"session_id": self._session} if self._session else {}
        await self._socket.send_json({**question, **session, "transaction": transaction})
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer: dict[str, Any] = await future
        except TimeoutError:
            raise RuntimeError(f"janus does not answer {question['janus']}\n{self._said()}") from None
        finally:
            del self._open[transaction]
        if answer["janus"] == "error":
            raise RuntimeError(f"janus: {answer['error']}\n{self._said()}")
        return answer

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                continue
            answer = message.json()
            future = self._open.get(answer.get("transaction", ""))
            if answer["janus"] != "ack" and future is not None and not future.done():
                future.set_result(answer)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def _configuration(socket: Path) -> dict[str, str]:
    """The files of Janus's configuration folder."""
    (libraries,) = LIBRARIES.glob("*-linux-gnu/janus")
    others = {
        kind: ",".join(sorted(file.name for file in (libraries / kind).glob("*.so") if keep not in file.name))
        for kind, keep in (("plugins", "videoroom"), ("transports", "websockets"), ("loggers", "none"))
    }
    blocks = "".join(f'{kind}: {{ disable = "{names}" }}\n' for kind, names in others.items())
    return {
        "janus.jcfg": f"""general: {{
    configs_folder = "{socket.parent / 'janus'}"
    debug_level = 2
    debug_timestamps = false
    session_timeout = 0
    event_loops = {LOOPS}
}}
media: {{ ipv6 = false }}
nat: {{
    ice_lite = true
    ice_enforce_list = "{SERVER_ADDRESS}"
}}
{blocks}events: {{ broadcast = false }}
""",
        "janus.transport.websockets.jcfg": f"""general: {{
    json = "compact"
    ws = true
    ws_unix = "{socket}"
    wss = false
}}
admin: {{ admin_ws = false }}
""",
        "janus.plugin.videoroom.jcfg": "general: { events = false }\n",
    }
