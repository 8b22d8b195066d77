"""Strangers around calls on a real relay process: every call stays, nothing foreign arrives, memory is bounded."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCPeerConnection

from telemed.consultation.rooms import Rooms
from telemed.media.backend import VIEWERS_A_PUBLICATION, Publisher, TooManySessions
from telemed.media.client import RelayClient
from telemed.media.plane import MediaPlane
from telemed.media.relay.adapter import Certificate, Handshake
from telemed.media.relay.fan import FEW
from telemed.media.relay.rtp import RtpPacket
from tests.media.callers import AUDIO, SSRC, VIDEO, Caller, Calls, process_calls, resident_bytes
from tests.media.conftest import ROOM, Picture, new_peer

NOISE_A_SECOND = 500  # datagrams of each kind
NOISE_EVERY_SECONDS = 0.02
SOCKETS = 20  # that they come from
PACKETS = 400  # of a call, at
PACKET_SECONDS = 0.01
GROWTH_BYTES = 8 << 20  # of a relay's memory in these few seconds: its rings and its peers
CALLS = 20
SESSION_BYTES = 160_000  # of the relay's for one that is half open: OpenSSL has most of it (90,000 were measured)


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """Callers on a relay process."""
    async with process_calls() as made:
        yield made


def client_hello() -> bytes:
    """The first flight of a DTLS client that is nobody's peer."""
    sent: list[bytes] = []
    hello = Handshake(Certificate(), sent.append, lambda: None)

    async def begin() -> None:
        hello.begin(True, (("sha-256", ":".join(["00"] * 32)),))
        while not sent:  # noqa: ASYNC110  (a few steps of the loop)
            await asyncio.sleep(0)
        await hello.close()

    asyncio.run(begin())
    return sent[0]


HELLO = client_hello()


def junk_hellos(numbers: random.Random) -> Iterator[bytes]:
    """ClientHellos that are whole, cut or bent."""
    while True:
        yield HELLO
        yield HELLO[: numbers.randrange(1, len(HELLO))]
        bent = bytearray(HELLO)
        bent[numbers.randrange(13, len(bent))] ^= 1 << numbers.randrange(8)
        yield bytes(bent)


def random_datagrams(numbers: random.Random) -> Iterator[bytes]:
    """Any bytes at all, with first bytes of every protocol on the port, of every length."""
    while True:
        yield numbers.randbytes(numbers.choice((0, 1, 11, 12, 20, 100, 1200, 1500, 4000)))
        yield bytes([numbers.choice((0, 1, 20, 22, 63, 64, 79, 128, 191, 192, 255))]) + numbers.randbytes(60)


def captured(caller: Caller, numbers: random.Random) -> Iterator[bytes]:
    """What went over a caller's line, again and with a bit turned."""
    while True:
        one = numbers.choice(caller.sent)
        yield one
        bent = bytearray(one)
        bent[numbers.randrange(len(bent))] ^= 1 << numbers.randrange(8)
        yield bytes(bent)


class Noise:
    """Datagrams to the relay's port, and how many were sent."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.count = 0
        self._address = address
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
        for one in self._sockets:
            one.setblocking(False)
            one.bind(("127.0.0.1", 0))
        self._numbers = random.Random(4)

    async def make(self, what: Iterator[bytes], send: Callable[[bytes], None] | None = None) -> None:
        """Send ``NOISE_A_SECOND`` of these until cancelled."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            due = int((loop.time() - began) * NOISE_A_SECOND) - sent
            for _ in range(due):
                self._send(next(what), send)
            sent += due
            await asyncio.sleep(NOISE_EVERY_SECONDS)

    def answered(self) -> list[bytes]:
        """What the relay said to any of them."""
        found = []
        for one in self._sockets:
            try:
                found.append(one.recv(2048))
            except BlockingIOError:
                continue
        return found

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def _send(self, data: bytes, send: Callable[[bytes], None] | None) -> None:
        self.count += 1
        if send is not None:
            send(data)
        else:
            self._numbers.choice(self._sockets).sendto(data, self._address)


@asynccontextmanager
async def noise(address: tuple[str, int], *kinds: Iterator[bytes], by: Caller | None = None) -> AsyncIterator[Noise]:
    """Noise of these kinds meanwhile; with ``by`` it comes from this caller's own address."""
    made = Noise(address)
    tasks = [asyncio.ensure_future(made.make(one, by.send_raw if by else None)) for one in kinds]
    try:
        yield made
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        made.close()


async def talk(publisher: Caller, numbers: range) -> list[bytes]:
    """The payloads of so many packets, sent at the pace of a call."""
    sent = []
    for number in numbers:
        sent.append(publisher.picture(number))
        await asyncio.sleep(PACKET_SECONDS)
    return sent


@pytest.mark.parametrize("same_address", [False, True])
async def test_a_call_goes_on_under_noise_of_every_kind_and_nothing_foreign_arrives(
    calls: Calls, wait: Any, same_address: bool
) -> None:
    """From strangers' sockets; and as if it came from the publisher's address, where libsrtp alone stands guard."""
    client = calls.engine
    assert isinstance(client, RelayClient)
    assert client.pid is not None
    publisher = await calls.publisher()
    viewers = [await calls.viewer(publisher) for _ in range(FEW + 2)]  # so that packets go out in both ways
    sent = await talk(publisher, range(50))
    numbers = random.Random(17)
    kinds = [captured(publisher, numbers), random_datagrams(numbers)]
    if not same_address:
        kinds.append(junk_hellos(numbers))
    before = resident_bytes(client.pid)
    async with noise(publisher.address, *kinds, by=publisher if same_address else None) as made:
        sent += await talk(publisher, range(50, 50 + PACKETS))
        later = await calls.viewer(publisher)
        sent += await talk(publisher, range(50 + PACKETS, 100 + PACKETS))
        assert made.answered() == []
    refused = made.count * (0.75 if same_address else 1)  # from its own address some are taken for DTLS, and end there
    await wait(lambda: client.counts.datagrams_refused >= refused, "each is refused")
    for viewer in viewers:
        await wait(lambda viewer=viewer: len(viewer.received) >= len(sent), "every packet has arrived")
        assert viewer.payloads == sent
        assert viewer.foreign == 0
    assert later.payloads == sent[-len(later.payloads) :]
    assert len(later.payloads) >= 50
    assert resident_bytes(client.pid) - before < GROWTH_BYTES
    assert [event for event in calls.events if event["event"] in ("gone", "down")] == []


async def test_twenty_of_twenty_calls_connect_under_a_flood_of_client_hellos(wait: Any) -> None:
    """aiortc on both sides of each call, through offers and answers; the flood was there before and does not end."""
    client = RelayClient(("127.0.0.1",), local_only=True)
    plane = MediaPlane(client, Rooms())
    await client.start()
    numbers, peers = random.Random(23), []
    try:
        address = ("127.0.0.1", client.number)
        async with noise(address, junk_hellos(numbers), random_datagrams(numbers)) as made:
            for number in range(CALLS):
                room = f"{ROOM[:-2]}{number:02}"
                sending, watching = new_peer(), new_peer()
                peers += [sending, watching]
                sending.pc.addTransceiver(Picture(), direction="sendonly")
                watching.pc.addTransceiver("video", direction="recvonly")
                who = Publisher("station:1", "station", "camera")
                resource = await plane.publish(room, who, await sending.offer(), owner="station:1")
                await sending.accept(resource.answer_sdp)
                await wait(lambda room=room: plane.publications(room), f"call {number} is live")
                answer = await plane.play(resource.publication.id, await watching.offer(), owner="account:1")
                await watching.accept(answer.answer_sdp)
                await wait(lambda watching=watching: watching.received, f"pictures of call {number} arrive")
                if number < CALLS - 2:  # it was there: two processors are not to encode twenty pictures
                    await asyncio.gather(sending.close(), watching.close())
                    del peers[-2:]
            assert made.count > 0
        await wait(lambda: client.counts.datagrams_refused >= made.count, "every junk datagram is refused")
        for peer in peers:
            assert isinstance(peer.pc, RTCPeerConnection)
            assert peer.connected
    finally:
        for peer in peers:
            await peer.close()
        await plane.close()


async def test_who_is_not_who_the_offer_says_is_put_out_and_nothing_of_it_is_read(calls: Calls, wait: Any) -> None:
    """A foreign fingerprint: the publisher's packets reach nobody, and its publication is not there."""
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    impostor = Caller()
    calls.callers.append(impostor)
    terms = impostor.terms(":".join(["AB"] * 32))
    await impostor.connect(await calls.engine.open(impostor.name, "publish", impostor.name, terms))
    assert impostor.handshake.keys is not None
    impostor.picture(1)
    await wait(lambda: calls.told("gone", impostor), "it is put out")
    assert not calls.told("connected", impostor)
    payload = publisher.picture(2)
    await wait(lambda: viewer.payloads == [payload], "the call goes on")
    await wait(lambda: calls.engine.counts.packets_in == 1, "one packet was read, which was the call's")


async def test_payload_types_that_nobody_agreed_to_reach_nobody(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher("video", "audio")
    viewer = await calls.viewer(publisher, "video", "audio")
    sent = []
    for number in range(128):
        sent.append(publisher.picture(number))
        if number not in (AUDIO, VIDEO) and not 63 < number < 96:  # those are RTCP's: RFC 5761 section 4
            publisher.send(RtpPacket(number, True, number, 0, 0x5000 + number % 8, b"foreign"))
    await wait(lambda: len(viewer.received) >= len(sent), "all of the call arrives")
    assert viewer.payloads == sent
    assert viewer.foreign == 0


async def test_a_publisher_that_changes_its_ssrc_with_every_packet_gains_and_costs_nothing(
    calls: Calls, wait: Any
) -> None:
    """At most one SSRC is believed a second, and of the rest not even libsrtp keeps anything."""
    client = calls.engine
    assert isinstance(client, RelayClient)
    assert client.pid is not None
    publisher, changing = await calls.publisher(), await calls.publisher()
    viewer, watching = await calls.viewer(publisher), await calls.viewer(changing)
    before, sent, count = resident_bytes(client.pid), [], 4000
    for number in range(count):
        changing.picture(number, ssrc=0x4000_0000 + number)
        if number % 20 == 0:
            sent.append(publisher.picture(number))
            await asyncio.sleep(PACKET_SECONDS)
    await wait(lambda: viewer.payloads == sent, "the other call is whole")
    await wait(lambda: client.counts.datagrams_refused >= count - 100, "they are refused")
    assert resident_bytes(client.pid) - before < GROWTH_BYTES
    assert 1 <= len(watching.received) < count // 20
    assert watching.foreign == 0
    assert [event for event in calls.events if event["event"] in ("gone", "down")] == []


async def test_kinds_under_one_ssrc_are_told_apart_by_their_payload_type(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher("video", "audio")
    viewer = await calls.viewer(publisher, "video", "audio")
    sent: dict[int, list[bytes]] = {VIDEO: [], AUDIO: []}
    for number in range(200):
        kind = AUDIO if number % 2 else VIDEO
        payload = bytes([kind]) + number.to_bytes(4, "big") * 20
        sent[kind].append(payload)
        publisher.send(RtpPacket(kind, True, number, 960 * number, SSRC, payload))
        await asyncio.sleep(0.001)
    await wait(lambda: len(viewer.received) == 200, "all arrive")
    for kind, payloads in sent.items():
        assert [packet.payload for packet in viewer.received if packet.payload_type == kind] == payloads
    assert len({packet.ssrc for packet in viewer.received}) == 2
    assert viewer.foreign == 0


async def test_two_hundred_half_open_sessions_are_let_go_and_calls_go_on(calls: Calls, wait: Any) -> None:
    """They check and shake no hand."""
    client = calls.engine
    assert isinstance(client, RelayClient)
    assert client.pid is not None
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    before = resident_bytes(client.pid)
    half: list[Caller] = []
    for _ in range(VIEWERS_A_PUBLICATION):
        one = Caller()
        one.ground = await client.open(one.name, "play", publisher.name, one.terms())
        one.deafen()  # the relay's answer is not heard: no handshake begins
        one.send_raw(one.check())
        one.vanish()
        half.append(one)
    sent = await talk(publisher, range(PACKETS // 4))
    later = await calls.viewer(publisher)
    assert resident_bytes(client.pid) - before < GROWTH_BYTES + VIEWERS_A_PUBLICATION * SESSION_BYTES
    talking = asyncio.ensure_future(talk(publisher, range(PACKETS // 4, 10 * PACKETS)))
    await wait(lambda: all(calls.told("gone", one) for one in half), "each is let go", 40.0)
    talking.cancel()
    assert viewer.payloads[: len(sent)] == sent
    assert later.received
    assert not calls.told("gone", viewer)
    assert {event["why"] for event in calls.events if event["event"] == "gone"} == {"never connected"}


async def test_one_viewer_more_than_a_publication_may_have_is_refused_until_another_goes(plane: Any, wait: Any) -> None:
    """However many of them are half open: by the plane, before the relay hears of it."""
    publisher = await plane.publisher(Picture())
    watching = await plane.viewer(publisher, "video")
    publication = publisher.resource.publication.id
    half = new_peer()
    half.pc.addTransceiver("video", direction="recvonly")
    offer = await half.offer()
    for _ in range(VIEWERS_A_PUBLICATION - 1):
        resource = await plane.media.play(publication, offer, owner="account:1")
    with pytest.raises(TooManySessions) as refused:
        await plane.media.play(publication, offer, owner="account:1")
    assert refused.value.status == 503
    assert len(plane.relay.viewers) == VIEWERS_A_PUBLICATION
    before = len(watching.received)
    await wait(lambda: len(watching.received) > before + 10, "who is connected sees pictures")
    await plane.media.delete(resource.id)
    await plane.media.play(publication, offer, owner="account:1")
    await half.close()


async def test_a_viewer_that_reads_nothing_and_one_that_is_not_there_cost_the_others_nothing(
    calls: Calls, wait: Any
) -> None:
    client = calls.engine
    publisher = await calls.publisher()
    viewers = [await calls.viewer(publisher) for _ in range(2)]
    deaf, gone = await calls.viewer(publisher), await calls.viewer(publisher)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.deafen()
    gone.vanish()  # its port is closed: the kernel answers each packet with a refusal
    sent = await talk(publisher, range(PACKETS))
    for viewer in viewers:
        await wait(lambda viewer=viewer: len(viewer.received) == PACKETS, "every packet arrives")
        assert viewer.payloads == sent
    assert client.counts.packets_unsent == 0
    assert not calls.told("gone", deaf)  # it still checks
    assert not calls.told("gone", viewers[0])


async def test_a_call_outlives_a_storm_larger_than_a_sockets_buffer(calls: Calls, wait: Any) -> None:
    """What is lost of the call meanwhile was the kernel's; afterwards all is as it was."""
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as storm:
        for _ in range(20_000):
            storm.sendto(os.urandom(200), publisher.address)
    again = await calls.viewer(publisher)
    sent = await talk(publisher, range(20))
    await wait(lambda: viewer.payloads[-20:] == sent and again.payloads[-20:] == sent, "the call goes on")
