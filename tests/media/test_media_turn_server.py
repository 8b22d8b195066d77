"""The coturn that we ship the configuration of: lets in whom we say and passes on to nowhere but the media relay."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from aioice import stun
from aioice.turn import TCP_TRANSPORT
from structlog.testing import capture_logs

from telemed.media.turn import Credential, IceServers
from telemed.media.turn_probe import TurnProbe, allocate
from telemed.metrics import REGISTRY
from telemed.settings import Settings
from tests.media.conftest import until
from tests.media.coturn import CONFIGURATION, Coturn, client, coturn, has_ipv6

FORBIDDEN = 403  # RFC 8656 section 19
QUOTA_REACHED = 486
QUOTA = int(next(line for line in CONFIGURATION.read_text().splitlines() if line.startswith("user-quota="))[11:])
EVERYTHING = (
    "denied-peer-ip=0.0.0.0-255.255.255.255",
    "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)
# First and last of every special range; 192.0.2.1 is left to the machines whose own address is beside it.
SPECIAL_V4 = (
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
    "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255",
    "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.1", "192.168.0.0", "192.168.255.255",
    "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
)
SPECIAL_V6 = (
    "::", "::1", "::7f00:1", "::ffff:0:0", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:192.168.1.1",
    "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:255.255.255.255", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a01:203", "64:ff9b::ffff:ffff", "64:ff9b:1::1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::1",
    "2001::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:a01:203::1", "2002:ffff::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00::1", "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
)
PUBLIC_V4, PUBLIC_V6 = "9.9.9.9", "2620:fe::fe"  # nothing is sent there: only the permission is asked for


@pytest.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with coturn(tmp_path) as running:
        yield running


def ice(server: Coturn) -> IceServers:
    return IceServers(server.settings(*server.urls))


async def begun(server: Coturn, credential: Credential) -> int:
    """The code of the answer to an allocation; 0 for success."""
    async with client(server, credential) as stranger:
        try:
            await stranger.allocate()
        except stun.TransactionFailed as error:
            return int(error.response.attributes["ERROR-CODE"][0])
    return 0


async def test_a_credential_of_ours_lets_in_and_no_other(turn: Coturn) -> None:
    now = time.time()
    ours = ice(turn).credential(now, "somebody")
    assert await begun(turn, ours) == 0
    assert await begun(turn, ice(turn).credential(now - 610)) == 401
    later = Credential(ours.username.replace(str(ours.expires_s), str(ours.expires_s + 1)), ours.password, 0)
    assert await begun(turn, later) == 401


async def test_a_call_outlives_the_credential_that_began_it(turn: Coturn) -> None:
    short = ice(turn).credential(time.time(), seconds=2)
    async with client(turn, short) as caller:
        await caller.allocate()
        await until(lambda: time.time() > short.expires_s + 2, "the credential has expired")
        assert await begun(turn, short) == 401
        refresh = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST)
        refresh.attributes["LIFETIME"] = 600
        assert await caller.code(refresh) == 0
        assert await caller.permit(turn.relay) == 0
        assert await caller.bind(0x4000, turn.relay) == 0


@pytest.mark.parametrize("without", [(), EVERYTHING], ids=["as shipped", "the special ranges alone"])
async def test_nothing_is_passed_on_to_a_special_range(
    tmp_path: Path, without: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)
    monkeypatch.setitem(stun.ATTRIBUTES_BY_NAME, family[1], family)
    async with coturn(tmp_path, without=without) as server, AsyncExitStack() as stack:
        credential = ice(server).credential(time.time())
        families = ((SPECIAL_V4, PUBLIC_V4, False), (SPECIAL_V6, PUBLIC_V6, True))
        for special, public, ipv6 in families[: 1 + has_ipv6()]:
            stranger = await stack.enter_async_context(client(server, credential))
            await stranger.allocate(ipv6=ipv6)
            answers = {
                peer: (await stranger.permit(peer), await stranger.bind(0x4000 + number, peer))
                for number, peer in enumerate(special)
            }
            assert {peer: codes for peer, codes in answers.items() if codes != (FORBIDDEN, FORBIDDEN)} == {}
            # The same requests for what is not refused: the list above did not fail for another reason.
            assert await stranger.permit(public) == (0 if without else FORBIDDEN)
            assert await stranger.bind(0x5FFF - 0x1000, public) == (0 if without else FORBIDDEN)
        caller = await stack.enter_async_context(client(server, credential))
        await caller.allocate()
        # An address in disguise does not come in by an allocation of the other family either.
        assert 0 not in [await caller.permit(peer) for peer in SPECIAL_V6]
        assert await caller.permit(server.relay) == 0
        assert await caller.bind(0x4000, server.relay) == 0


async def test_what_is_allowed_arrives_and_comes_back(turn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind((turn.relay, 0))
        relay.setblocking(False)
        async with client(turn, ice(turn).credential(time.time())) as caller:
            await caller.connect()
            heard: asyncio.Queue[bytes] = asyncio.Queue()

            class Receiver(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: Any) -> None:
                    heard.put_nowait(data)

            caller.receiver = Receiver()
            async with asyncio.timeout(10):
                await caller.send_data(b"out", relay.getsockname())
                loop = asyncio.get_running_loop()
                data, source = await loop.sock_recvfrom(relay, 100)
                assert (data, source[0]) == (b"out", turn.relay)
                await loop.sock_sendto(relay, b"back", source)
                assert await heard.get() == b"back"
            await caller.delete()


async def test_no_connection_is_made_for_anybody(turn: Coturn) -> None:
    async with client(turn, ice(turn).credential(time.time())) as stranger:
        with pytest.raises(stun.TransactionFailed) as refused:
            await stranger.allocate(transport=TCP_TRANSPORT)
        assert refused.value.response.attributes["ERROR-CODE"][0] in (403, 442)
        await stranger.allocate()
        # CONNECT (RFC 6062 section 4.3) is 0x000a, which the client's library has no name for.
        connect = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST)
        connect.message_method = 0x000A  # type: ignore[assignment]
        connect.attributes["XOR-PEER-ADDRESS"] = (turn.relay, turn.port)
        data = bytearray(bytes(connect))
        assert struct.unpack("!H", data[:2]) == (0x000A,)
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        stranger.datagram_received = lambda data, addr: answers.put_nowait(bytes(data))  # type: ignore[method-assign]
        stranger.transport.sendto(bytes(data))
        async with asyncio.timeout(10):
            kind = struct.unpack("!H", (await answers.get())[:2])[0]
        assert kind == 0x011A  # an error response to CONNECT


async def test_a_file_that_is_not_filled_in_lets_nobody_in(tmp_path: Path) -> None:
    async with coturn(tmp_path, filled=False) as server:
        assert await begun(server, ice(server).credential(time.time())) == 401
        empty = ice(server)
        empty._secret = b""
        assert await begun(server, empty.credential(time.time())) == 401


async def test_one_sign_in_cannot_take_all(turn: Coturn) -> None:
    servers, now = ice(turn), time.time()
    async with AsyncExitStack() as stack:
        for number in range(QUOTA):
            # Renewed credentials of the same sign-in are counted together.
            credential = servers.credential(now + number, "somebody")
            one = await stack.enter_async_context(client(turn, credential))
            await one.allocate()
        assert await begun(turn, servers.credential(now, "somebody")) == QUOTA_REACHED
        assert await begun(turn, servers.credential(now, "somebody else")) == 0


async def test_the_probe_tells_what_a_browser_would_meet(turn: Coturn, tmp_path: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(turn.authority))
    probe = TurnProbe(ice(turn), trusting)
    await probe.look()
    assert (await probe.state(), set(probe.states.values())) == ("ok", {"ok"})
    for url in turn.urls:
        assert REGISTRY.get_sample_value("telemed_turn_up", {"url": url}) == 1
    doubting = TurnProbe(ice(turn))
    with capture_logs() as lines:
        await doubting.look()
        await doubting.look()
    assert [doubting.states[url] for url in turn.urls] == ["ok", "ok", "unreachable"]  # nobody vouches for it
    assert await doubting.state() == "unreachable"
    assert [line["event"] for line in lines] == ["turn_unreachable"]  # said once
    assert REGISTRY.get_sample_value("telemed_turn_up", {"url": turn.urls[2]}) == 0

    other = tmp_path / "other.secret"
    other.write_text("f" * 32)
    other.chmod(0o600)
    stranger = TurnProbe(IceServers(Settings(turn_urls=turn.urls[0], turn_secret_file=other)))
    await stranger.look()
    assert await stranger.state() == "refused"


async def test_the_probe_gives_back_what_it_began(turn: Coturn) -> None:
    """Else coturn would keep each of these for ten minutes, and refuse the next one for as long."""
    credential, udp = ice(turn).credential(time.time(), "probe"), ice(turn).urls[0]
    begun = 0
    async with asyncio.timeout(20):
        # It is counted about a second late, and a port that is used again within it is refused (437).
        while begun < 2 * QUOTA:
            begun += await allocate(udp, credential) == "ok"


async def test_the_probe_is_not_held_by_what_is_no_turn_server(tmp_path: Path) -> None:
    """A closed port, one that takes everything and says nothing, and one that speaks HTTP."""
    secret = tmp_path / "turn.secret"
    secret.write_text("f" * 32)
    secret.chmod(0o600)

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        places = (
            f"turn:127.0.0.1:{unused_port()}?transport=tcp", f"turn:127.0.0.1:{silent.getsockname()[1]}",
            f"turn:127.0.0.1:{server.sockets[0].getsockname()[1]}?transport=tcp", "turns:nobody.invalid:443",
        )
        servers = IceServers(Settings(turn_urls=",".join(places), turn_secret_file=secret))
        probe = TurnProbe(servers)
        await probe.look()
    server.close()
    assert set(probe.states.values()) == {"unreachable"}
    assert await probe.state() == "unreachable"
