"""Who the relay's port listens to: signed checks, known addresses, the addresses it announces, and who moves."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from telemed.media.relay import ice, leg, port
from telemed.media.relay.ice import read_check
from telemed.media.relay.leg import ADDRESSES_KEPT, SSRCS
from telemed.media.relay.port import Port, PortUnavailable, own_addresses
from telemed.media.relay.relay import Relay
from telemed.media.relay.rtp import receiver_report
from tests.media.callers import Caller, Calls, calls_on

NOBODY = "203.0.113.7"  # RFC 5737: no host has it


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """Callers on a relay in this process."""
    async with calls_on(Relay(("127.0.0.1",))) as made:
        yield made


def relay_of(calls: Calls) -> Relay:
    assert isinstance(calls.engine, Relay)
    return calls.engine


def lines_of(calls: Calls) -> list[port.Line]:
    return relay_of(calls)._port.lines


async def test_only_a_check_that_the_peer_has_signed_is_answered(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    viewer.hush()
    relay = relay_of(calls)
    refused = relay.counts.datagrams_refused
    unsigned = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    assert viewer.ground is not None
    unsigned.attributes["USERNAME"] = f"{viewer.ground.ufrag}:{viewer.credentials.ufrag}"
    unsigned.attributes["PRIORITY"] = 1
    other_peer = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    other_peer.attributes["USERNAME"] = f"{viewer.ground.ufrag}:{publisher.credentials.ufrag}"
    other_peer.attributes["PRIORITY"] = 1
    other_peer.add_message_integrity(viewer.ground.password.encode())
    no_priority = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    no_priority.attributes["USERNAME"] = f"{viewer.ground.ufrag}:{viewer.credentials.ufrag}"
    no_priority.add_message_integrity(viewer.ground.password.encode())
    indication = stun.Message(stun.Method.BINDING, stun.Class.INDICATION)
    indication.attributes["USERNAME"] = f"{viewer.ground.ufrag}:{viewer.credentials.ufrag}"
    indication.add_message_integrity(viewer.ground.password.encode())
    right = viewer.check()
    wrong = [
        bytes(unsigned), bytes(other_peer), bytes(no_priority), bytes(indication),
        viewer.check(password="another password"), right[:-1], right + bytes(600), b"\0\1" + bytes(18), b"\1",
        bytes([right[0], right[1] ^ 2]) + right[2:], b"",
    ]  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        for data in wrong:
            stranger.sendto(data, viewer.address)
        await wait(lambda: relay.counts.datagrams_refused == refused + len(wrong), "each is refused")
        assert [name for line in lines_of(calls) for name in line.known if name == stranger.getsockname()] == []
        stranger.sendto(right, viewer.address)  # with the right one it is the peer's own new address
        stranger.settimeout(5)
        answer = stun.parse_message(await asyncio.to_thread(stranger.recv, 2048))
        assert answer.message_class == stun.Class.RESPONSE
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == stranger.getsockname()


async def test_a_peer_that_says_it_is_controlled_hears_of_the_conflict(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    publisher.send_raw(publisher.check(controlled=True))
    await wait(lambda: publisher.answers[-1].message_class == stun.Class.ERROR, "an error is answered")
    assert publisher.answers[-1].attributes["ERROR-CODE"][0] == 487


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from([one[0] for one in stun.ATTRIBUTES]), st.integers(0, 0xFFFF)),
            st.one_of(st.none(), st.integers(0, 0xFFFF)),
            st.binary(max_size=40),
        ),
        max_size=6,
    ),
    st.sampled_from([0x0001, 0x0011, 0x0101, 0x0003, 0x3FFF]),
    st.binary(max_size=6),
)
def test_a_hostile_check_is_read_or_not_and_nothing_else(
    attributes: list[tuple[int, int | None, bytes]], kind: int, tail: bytes
) -> None:
    body = b"".join(
        struct.pack("!HH", name, len(value) if length is None else length) + value + bytes(-len(value) % 4)
        for name, length, value in attributes
    ) + tail
    data = struct.pack("!HHI12s", kind, len(body) & 0xFFFF, stun.COOKIE, bytes(12)) + body
    read = read_check(data)
    assert read is None or (isinstance(read[1], str) and kind == 0x0001)
    if read is not None:
        assert not ice.signed(read[0], read[1], ice.Credentials(), "nobody")


async def test_packets_from_an_address_that_has_not_checked_are_dropped(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    payload = publisher.picture(1)
    await wait(lambda: viewer.payloads == [payload], "a packet arrives")
    publisher.hush()
    publisher.move()
    refused = relay_of(calls).counts.datagrams_refused
    publisher.picture(2)  # rightly encrypted, from the wrong place
    publisher.send_raw(b"\x16\xfe\xfd" + bytes(40))
    await wait(lambda: relay_of(calls).counts.datagrams_refused == refused + 2, "both are refused")
    publisher.check_now()
    answered = len(publisher.answers)
    await wait(lambda: len(publisher.answers) > answered, "its new address is known")
    third = publisher.picture(3)
    await wait(lambda: viewer.payloads == [payload, third], "and media from there pass")


async def test_a_viewer_that_moves_goes_on_at_its_new_address(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    viewer, other = await calls.viewer(publisher), await calls.viewer(publisher)
    publisher.picture(1)
    await wait(lambda: viewer.received and other.received, "a packet arrives")
    keys = relay_of(calls).legs[viewer.name].keys
    viewer.hush()
    viewer.move()
    publisher.picture(2)
    await wait(lambda: len(other.received) == 2, "the other one has the second")
    viewer.check_now()
    known = len(viewer.answers)
    await wait(lambda: len(viewer.answers) > known, "its check is answered")
    third = publisher.picture(3)
    await wait(lambda: viewer.payloads[-1] == third, "packets come to the new address")
    assert len(viewer.received) == 2
    assert relay_of(calls).legs[viewer.name].keys is keys
    assert viewer.foreign == 0


async def test_a_second_address_is_used_when_it_is_chosen_or_the_first_is_silent(
    calls: Calls, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    viewer.hush()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.bind(("127.0.0.1", 0))
        second.settimeout(5)

        async def answered() -> None:
            second.sendto(viewer.check(nominate=False), viewer.address)
            data = await asyncio.to_thread(second.recv, 2048)
            assert stun.parse_message(data).message_class == stun.Class.RESPONSE

        await answered()
        first = publisher.picture(1)
        await wait(lambda: viewer.payloads == [first], "the first address is still the one")
        monkeypatch.setattr(leg, "MOVED_SECONDS", 0.0)
        await answered()
        publisher.picture(2)
        data = await asyncio.to_thread(second.recv, 2048)
        assert 127 < data[0] < 192
        assert len(viewer.received) == 1


async def test_an_ice_restart_keeps_the_keys_and_forgets_the_old_password_at_the_first_new_check(
    calls: Calls, wait: Any
) -> None:
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    viewer.hush()
    relay = relay_of(calls)
    keys, before = relay.legs[viewer.name].keys, viewer.check()
    assert viewer.ground is not None
    old = viewer.ground
    viewer.credentials = ice.Credentials()
    ground = await relay.restart(viewer.name, viewer.credentials.ufrag, viewer.credentials.password)
    assert {ground.ufrag, ground.password} & {old.ufrag, old.password} == set()
    assert ground.fingerprint == old.fingerprint
    known = len(viewer.answers)
    viewer.send_raw(before)
    await wait(lambda: len(viewer.answers) == known + 1, "until then the old one is good")
    viewer.move()
    viewer.ground = ground
    viewer.check_now()
    await wait(lambda: len(viewer.answers) == known + 2, "the new one is good")
    refused = relay.counts.datagrams_refused
    viewer.send_raw(before)
    await wait(lambda: relay.counts.datagrams_refused == refused + 1, "the old one is not any more")
    payload = publisher.picture(1)
    await wait(lambda: viewer.payloads == [payload], "packets come under the same keys")
    assert relay.legs[viewer.name].keys is keys
    for _ in range(5):  # a peer that restarts again and again leaves no names behind
        await relay.restart(viewer.name, "again", "p" * 22)
    assert len([name for name, one in relay._port.legs.items() if one.name == viewer.name]) <= 3


async def test_a_peer_of_many_addresses_is_known_at_sixteen_and_keeps_the_one_in_use(calls: Calls, wait: Any) -> None:
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    viewer.hush()
    relay = relay_of(calls)
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3 * ADDRESSES_KEPT)]
    heard: list[Any] = []
    for one in sockets:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        one.sendto(viewer.check(nominate=False), viewer.address)
        asyncio.get_running_loop().add_reader(one, lambda one=one: heard.append(one.recv(2048)))
    await wait(lambda: len(heard) == len(sockets), "each check is answered")
    peer = relay.legs[viewer.name]
    assert len(peer.addresses) == ADDRESSES_KEPT
    assert sum(known is peer for line in lines_of(calls) for known in line.known.values()) == ADDRESSES_KEPT
    payload = publisher.picture(1)
    await wait(lambda: viewer.payloads == [payload], "the first address is still the one")
    for one in sockets:
        asyncio.get_running_loop().remove_reader(one)
        one.close()
    await relay.close(viewer.name)
    assert [known.name for line in lines_of(calls) for known in line.known.values()] == [publisher.name]


async def test_a_leg_that_is_closing_takes_no_new_address_in(calls: Calls) -> None:
    publisher = await calls.publisher()
    peer = relay_of(calls).legs[publisher.name]
    closing = asyncio.ensure_future(relay_of(calls).close(publisher.name))
    while not peer.closed:  # noqa: ASYNC110  (one step of the loop)
        await asyncio.sleep(0)
    read = read_check(publisher.check())
    assert read is not None
    assert peer.checked(read[0], read[1], lines_of(calls)[0], ("127.0.0.1", 9)) is None
    await closing
    assert [line.known for line in lines_of(calls)] == [{}]
    assert relay_of(calls)._port.legs == {}


async def test_a_peer_is_heard_under_so_many_ssrcs_and_no_more(calls: Calls, wait: Any) -> None:
    """libsrtp keeps a context for each of them; reports and media count alike."""
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    relay = relay_of(calls)
    first = publisher.picture(1)
    await wait(lambda: viewer.payloads == [first], "a packet arrives")
    refused = relay.counts.datagrams_refused
    for number in range(SSRCS):
        publisher.send_rtcp(receiver_report(0x7000_0000 + number, []))
    for number in range(40):
        publisher.picture(number, ssrc=0x8000_0000 + number)
    await wait(lambda: relay.counts.datagrams_refused == refused + 41, "what is too many is refused")
    second = publisher.picture(2)
    await wait(lambda: viewer.payloads == [first, second], "what was known is heard")
    publisher.send_raw(b"\x80\x60" + bytes(60))  # forged ones do not count
    assert len(relay.legs[publisher.name]._ssrcs) == SSRCS


async def test_who_may_call_from_this_host_alone_cannot_call_from_elsewhere(wait: Any) -> None:
    """127.0.0.2 is neither an address that was announced nor one that leads to this host from outside."""
    for local_only in (True, False):
        async with calls_on(Relay(("127.0.0.1",), local_only=local_only)) as calls:
            publisher = await calls.publisher()
            elsewhere = Caller(host="127.0.0.2")
            terms = elsewhere.terms()
            elsewhere.ground = await calls.engine.open(elsewhere.name, "play", publisher.name, terms)
            calls.callers.append(elsewhere)
            elsewhere.send_raw(elsewhere.check())
            if local_only:
                await wait(lambda calls=calls: calls.engine.counts.datagrams_refused == 1, "it is refused")
                assert not elsewhere.answers
            else:
                await wait(lambda elsewhere=elsewhere: elsewhere.answers, "it is answered")


async def test_nobody_takes_the_address_of_a_call_that_is_heard(
    calls: Calls, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is let in signs a check of its own and sends it as if it were at another peer's address."""
    publisher = await calls.publisher()
    viewer = await calls.viewer(publisher)
    stranger = await calls.viewer(publisher)
    line = lines_of(calls)[0]
    read = read_check(stranger.check())
    assert read is not None
    theirs = relay_of(calls).legs[stranger.name]
    assert theirs.checked(read[0], read[1], line, viewer.socket.getsockname()) is None
    payload = publisher.picture(1)
    await wait(lambda: viewer.payloads == stranger.payloads == [payload], "both have their packets")
    monkeypatch.setattr(leg, "TAKEN_SECONDS", 0.0)  # nobody is heard there any more: the port has a new owner
    assert theirs.checked(read[0], read[1], line, viewer.socket.getsockname()) is not None
    assert line.known[viewer.socket.getsockname()] is theirs
    gone = relay_of(calls).legs[viewer.name]
    assert (gone.place(), gone.addresses) == (None, {})  # and nothing is sent there for who was there before
    publisher.picture(2)
    await wait(lambda: viewer.foreign == 1, "what comes there is the other one's")
    viewer.check_now()
    third = publisher.picture(3)
    await wait(lambda: third in viewer.payloads, "a check brings it back")


async def test_nobody_is_answered_at_port_zero(calls: Calls) -> None:
    """The kernel would refuse it as if it could not cut messages."""
    publisher = await calls.publisher()
    relay, line = relay_of(calls), lines_of(calls)[0]
    refused = relay.counts.datagrams_refused
    relay._port._check(line, publisher.check(), ("127.0.0.1", 0))
    assert relay.counts.datagrams_refused == refused + 1
    assert ("127.0.0.1", 0) not in line.known


async def test_a_call_over_ipv6(wait: Any) -> None:
    async with calls_on(Relay(("::1",))) as calls:
        publisher = await calls.publisher(caller=Caller(host="::1"))
        viewer = await calls.viewer(publisher, caller=Caller(host="::1"))
        payload = publisher.picture(1)
        await wait(lambda: viewer.payloads == [payload], "a packet arrives")


def made(*announced: str, number: int = 0, local_only: bool = False) -> Port:
    return Port(announced, number, local_only, lambda: None, lambda: None)


async def test_what_is_announced_is_what_was_named_and_a_routers_address_is_listened_for_everywhere() -> None:
    own = own_addresses()
    both = made("127.0.0.1", NOBODY)
    try:
        assert [words.split()[4:6] for words in both.candidates] == [
            ["127.0.0.1", str(both.number)], [NOBODY, str(both.number)]
        ]
        assert [line.socket.getsockname()[0] for line in both.lines] == ["127.0.0.1", *own]
        assert {line.number for line in both.lines} == {both.number}
        priorities = [int(words.split()[3]) for words in both.candidates]
        assert priorities == sorted(priorities, reverse=True)
    finally:
        both.close()
    everywhere = made()
    try:
        assert [words.split()[4] for words in everywhere.candidates] == (own or ["127.0.0.1"])
    finally:
        everywhere.close()


async def test_a_host_without_addresses_cannot_be_behind_a_router(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "own_addresses", list)
    with pytest.raises(PortUnavailable, match=NOBODY):
        made(NOBODY)
    alone = made()
    assert [words.split()[4] for words in alone.candidates] == ["127.0.0.1"]
    alone.close()


async def test_a_port_that_another_program_has_on_one_of_the_addresses_is_refused_and_nothing_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        number = other.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"UDP port {number} on 127.0.0.2") as refused:
            made("127.0.0.1", "127.0.0.2", number=number)
        assert refused.value.errno == errno.EADDRINUSE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", number))  # was given back


async def test_a_full_socket_loses_a_datagram_and_an_unreachable_one_too() -> None:
    one = made("127.0.0.1")
    try:
        line = one.lines[0]
        assert line.send(b"x", ("127.0.0.1", 9))
        assert not line.send(b"x", ("255.255.255.255", 9))  # broadcasts are not allowed to it
        assert not line.send(bytes(70_000), ("127.0.0.1", 9))
    finally:
        one.close()
