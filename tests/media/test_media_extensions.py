"""RTP header extensions against RFC 8285's layouts, against aiortc's writer, and against anything at all."""

from __future__ import annotations

import contextlib
import struct

import pytest
from aiortc.rtp import pack_header_extensions
from hypothesis import example, given
from hypothesis import strategies as st

from telemed.media.relay import extensions
from telemed.media.relay.extensions import Packet, find_extension, payload_start
from telemed.media.relay.rtp import PacketMalformed, parse_rtp

# V=2, M PT=96, sequence 1, timestamp 2, SSRC 3.
PLAIN = bytes.fromhex("80e0 0001 00000002 00000003")


def read_extensions(data: Packet) -> dict[int, bytes]:
    """Every element, each asked for by its identifier."""
    found = {identifier: find_extension(data, identifier) for identifier in range(1, 256)}
    return {identifier: value for identifier, value in found.items() if value is not None}


def packet(profile: int, content: bytes, sources: int = 0, payload: bytes = b"payload") -> bytes:
    assert len(content) % 4 == 0
    header = bytes((0x90 | sources,)) + PLAIN[1:] + bytes(4 * sources)
    return header + struct.pack("!HH", profile, len(content) // 4) + content + payload


def test_the_one_byte_form() -> None:
    # RFC 8285 section 4.2: ID 1 of one byte, padding between, ID 14 of three, ID 3 of two, padding behind.
    data = packet(0xBEDE, bytes.fromhex("10aa 00 e2bbccdd 00 31eeff 00"), sources=2)
    assert read_extensions(data) == {1: b"\xaa", 14: b"\xbb\xcc\xdd", 3: b"\xee\xff"}
    assert parse_rtp(data).payload == b"payload"


@pytest.mark.parametrize("profile", [0x1000, 0x1005, 0x100F])
def test_the_two_byte_form(profile: int) -> None:
    # RFC 8285 section 4.3: ID 1 of no byte, padding, ID 200 of three; padding has no length byte.
    data = packet(profile, bytes.fromhex("0100 00 c803bbccdd 00000000"))
    assert read_extensions(data) == {1: b"", 200: b"\xbb\xcc\xdd"}


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("10aa f0 00 21bbcc 00", {1: b"\xaa"}),  # the reserved identifier ends the reading
        ("10aa 01 00 21bbcc 00", {1: b"\xaa"}),  # and so does padding that claims a length
        ("10aa 10bb", {1: b"\xaa"}),  # twice: the first
        ("1f" + "07" * 16 + "000000", {1: b"\x07" * 16}),
        ("", {}),
    ],
)
def test_the_edges_of_the_one_byte_form(content: str, read: dict[int, bytes]) -> None:
    assert read_extensions(packet(0xBEDE, bytes.fromhex(content))) == read


def test_another_profile_is_passed_over_and_no_extension_is_none() -> None:
    assert read_extensions(packet(0x1010, bytes.fromhex("10aa0000"))) == {}
    assert read_extensions(PLAIN) == {}
    assert find_extension(PLAIN, 1) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],  # version 1
        b"\x81" + PLAIN[1:],  # a source that is not there
        b"\x90" + PLAIN[1:] + b"\xbe\xde\x00",
        b"\x90" + PLAIN[1:] + b"\xbe\xde\x00\x01",
        packet(0xBEDE, bytes.fromhex("13aabbcc")),
        packet(0x1000, bytes.fromhex("0103aabb")),
        packet(0x1000, bytes.fromhex("00000001")),
        packet(0x1000, bytes.fromhex("00000001"), payload=b""),
    ],
)
def test_what_is_cut_short_is_malformed(data: bytes) -> None:
    with pytest.raises(PacketMalformed):
        read_extensions(data)


ONE_BYTE = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), min_size=1, max_size=14)
TWO_BYTE = st.dictionaries(st.integers(1, 255), st.binary(max_size=255), min_size=1, max_size=20)


@given(ONE_BYTE | TWO_BYTE, st.integers(0, 15))
def test_what_aiortc_writes_is_read_whole_and_one_by_one(elements: dict[int, bytes], sources: int) -> None:
    profile, content = pack_header_extensions(list(elements.items()))
    data = packet(profile, content, sources)
    assert read_extensions(data) == read_extensions(memoryview(data)) == elements
    for identifier in range(1, 256):
        assert find_extension(data, identifier) == elements.get(identifier)
    assert data[payload_start(data) :] == b"payload"


@given(st.binary(max_size=120), st.integers(0, 300))
@example(packet(0xBEDE, bytes.fromhex("13aabbcc")), 1)
def test_any_bytes_are_read_or_malformed(data: bytes, wanted: int) -> None:
    for bytes_in in (data, b"\x90" + data[1:], b"\x90" + PLAIN[1:] + b"\xbe\xde" + data):
        found = None
        with contextlib.suppress(PacketMalformed):
            found = read_extensions(bytes_in)
        try:
            assert find_extension(bytes_in, wanted) == (found or {}).get(wanted) or found is None
        except PacketMalformed:
            assert found is None


def test_the_audio_level() -> None:
    assert extensions.audio_level(b"\x80") == (0, True)
    assert extensions.audio_level(b"\x7f") == (127, False)
    assert extensions.audio_level(b"\x9e\x00") == (30, True)
    with pytest.raises(PacketMalformed):
        extensions.audio_level(b"")


def test_the_absolute_send_time() -> None:
    assert extensions.abs_send_time(bytes.fromhex("040000")) == extensions.ABS_SEND_TIME_HZ
    assert extensions.abs_send_time(bytes.fromhex("ffffff")) == 64 * extensions.ABS_SEND_TIME_HZ - 1
    for value in (b"", b"\x01\x02", bytes(4)):
        with pytest.raises(PacketMalformed):
            extensions.abs_send_time(value)
