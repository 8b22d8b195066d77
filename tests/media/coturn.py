"""A real coturn with the configuration that is shipped, on free ports of this machine, and a client of it."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from aioice import stun
from aioice.turn import UDP_TRANSPORT, TurnClientUdpProtocol

from telemed.media.turn import Credential
from telemed.settings import Settings
from tests.server.test_mail import certificate

CONFIGURATION = Path(__file__).parents[2] / "docs" / "coturn" / "turnserver.conf"
SECRET = "0123456789abcdef0123456789abcdef"
START_SECONDS = 20.0  # on a busy machine
IPV6 = 0x02000000  # REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.6): family 2 and three reserved bytes


def own_address() -> str:
    """An address of this machine that is not loopback, which coturn never serves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("no address but loopback here")
        return str(probe.getsockname()[0])


def has_ipv6() -> bool:
    """Whether this machine speaks IPv6, with itself at least."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Coturn:
    """``relay`` is the one address that it passes anything on to; ``authority`` the certificate to trust."""

    port: int
    tls_port: int
    relay: str
    authority: Path
    secret_file: Path

    def settings(self, *urls: str) -> Settings:
        return Settings(turn_urls=",".join(urls), turn_secret_file=self.secret_file)

    @property
    def urls(self) -> tuple[str, str, str]:
        udp = f"turn:127.0.0.1:{self.port}"
        return udp, f"{udp}?transport=tcp", f"turns:127.0.0.1:{self.tls_port}"


@asynccontextmanager
async def coturn(folder: Path, *, filled: bool = True, without: tuple[str, ...] = ()) -> AsyncIterator[Coturn]:
    """Runs while the block does. ``filled``: the two lines are filled in; ``without``: these lines are taken out."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no coturn here: apt-get install coturn")
    relay, port, tls_port = own_address(), unused_port(), unused_port()
    cert, key = certificate(folder, "turn")
    secret_file = folder / "turn.secret"
    secret_file.write_text(f"{SECRET}\n")
    secret_file.chmod(0o600)
    configuration = folder / "turnserver.conf"
    configuration.write_text(_changed(folder, relay, (port, tls_port), (cert, key), filled, without))
    log = (folder / "coturn.log").open("wb")
    process = await asyncio.create_subprocess_exec(program, "-c", str(configuration), stdout=log, stderr=log)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (_listens(port) and _listens(tls_port)):
                assert process.returncode is None, (folder / "coturn.log").read_text()
                await asyncio.sleep(0.05)
        yield Coturn(port, tls_port, relay, cert, secret_file)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()


def _changed(
    folder: Path, relay: str, ports: tuple[int, int], tls: tuple[Path, Path], filled: bool, without: tuple[str, ...]
) -> str:
    """The file as an operator would fill it in, and where a test must not be in another's way."""
    text = CONFIGURATION.read_text()
    changes = [
        (r"^listening-port=.*$", f"listening-port={ports[0]}"),
        (r"^tls-listening-port=.*$", f"tls-listening-port={ports[1]}"),
        (r"^cert=.*$", f"cert={tls[0]}"),
        (r"^pkey=.*$", f"pkey={tls[1]}"),
        (r"^syslog$", "log-file=stdout"),
    ]
    if filled:
        changes += [
            (r"^#static-auth-secret=$", f"static-auth-secret={SECRET}"),
            (r"^#allowed-peer-ip=$", f"allowed-peer-ip={relay}"),
        ]
    changes += [(f"^{re.escape(line)}$", "") for line in without]
    for pattern, line in changes:
        text, found = re.subn(pattern, line, text, flags=re.MULTILINE)
        assert found == 1, pattern
    places = ["listening-ip=127.0.0.1", f"relay-ip={relay}", *(["relay-ip=::1"] if has_ipv6() else [])]
    return "\n".join([text, *places, f"pidfile={folder / 'pid'}", f"userdb={folder / 'db'}", ""])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TurnClient(TurnClientUdpProtocol):
    """aioice's client, with the requests that a call never makes and a stranger would."""

    async def allocate(self, *, ipv6: bool = False, transport: int = UDP_TRANSPORT) -> stun.Message:
        request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
        request.attributes["REQUESTED-TRANSPORT"] = transport
        if ipv6:
            request.attributes["REQUESTED-ADDRESS-FAMILY"] = IPV6
        return (await self.request_with_retry(request))[0]

    async def permit(self, *peers: str) -> int:
        """The code of the answer to one CreatePermission; 0 for success."""
        request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
        for peer in peers:
            request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
        return await self.code(request)

    async def bind(self, number: int, peer: str) -> int:
        """The code of the answer to ChannelBind; 0 for success."""
        request = stun.Message(stun.Method.CHANNEL_BIND, stun.Class.REQUEST)
        request.attributes["CHANNEL-NUMBER"] = number
        request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
        return await self.code(request)

    async def code(self, request: stun.Message) -> int:
        try:
            await self.request_with_retry(request)
        except stun.TransactionFailed as error:
            return int(error.response.attributes["ERROR-CODE"][0])
        return 0


@asynccontextmanager
async def client(server: Coturn, credential: Credential) -> AsyncIterator[TurnClient]:
    """A client by UDP; what it allocated goes with coturn."""
    place = ("127.0.0.1", server.port)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: TurnClient(place, credential.username, credential.password, 600, 500), remote_addr=place
    )
    try:
        yield protocol
    finally:
        transport.close()

