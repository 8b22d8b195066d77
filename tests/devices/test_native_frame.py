"""docs/protocol.md section 2: vectors first, then every truncation, every bit, every split, round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from telemed_devices import faults
from telemed_devices.faults import (
    ChunkError,
    FrameChannels,
    FrameCodec,
    FrameDtype,
    FrameError,
    FrameLength,
    FrameNumber,
    FrameReserved,
    FrameSamples,
    FrameTime,
)
from telemed_devices.native import (
    HEADER_BYTES,
    LATEST_US,
    MAX_CHANNELS,
    MAX_UPLINK_BYTES,
    Codec,
    Frame,
    FrameFlags,
    lead_off,
    missing_value,
    pack_frame,
    unpack_frame,
    with_lead_off,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "frames.json").read_text("utf-8"))[
    "frames"
]
GOOD = [vector for vector in VECTORS if "expect" in vector]
BAD = [vector for vector in VECTORS if "error" in vector]


def names(vectors: list[dict[str, Any]]) -> list[str]:
    return [vector["name"] for vector in vectors]


def expected(expect: dict[str, Any]) -> Frame:
    return Frame(
        stream=expect["stream"],
        seq=int(expect["seq"]),
        first_sample=int(expect["first_sample"]),
        t0_us=int(expect["t0_us"]),
        samples=np.array(expect["samples"], dtype=expect["dtype"]),
        flags=expect["flags"],
        view=expect["view"],
        codec=expect["codec"],
    )


@pytest.mark.parametrize("vector", GOOD, ids=names(GOOD))
def test_a_vector_decodes_and_encodes_to_itself(vector: dict[str, Any]) -> None:
    data, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    frame = unpack_frame(data)
    assert frame == expected(expect)
    assert frame.samples.tolist() == expect["samples"]
    assert (frame.channels, frame.n, frame.gap) == (expect["channels"], expect["n"], expect["gap"])
    assert bool(frame.flags & FrameFlags.PROVISIONAL) == expect["provisional"]
    assert list(frame.lead_off) == expect["lead_off"]
    assert pack_frame(frame) == data
    assert pack_frame(expected(expect)) == data


@pytest.mark.parametrize("vector", BAD, ids=names(BAD))
def test_a_bad_vector_is_refused_by_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError) as refused:
        unpack_frame(bytes.fromhex(vector["hex"]))
    assert refused.value.code == vector["error"]


def test_every_code_of_the_layout_has_a_vector() -> None:
    tree = [value for value in vars(faults).values() if isinstance(value, type) and issubclass(value, FrameError)]
    codes = {kind.code for kind in tree if not issubclass(kind, ChunkError)} - {FrameError.code, FrameNumber.code}
    assert {vector["error"] for vector in BAD} == codes
    assert len({kind.code for kind in tree}) == len(tree)


SMALL = bytes.fromhex(next(vector["hex"] for vector in GOOD if vector["name"] == "two leads int16"))


def test_every_truncation_is_refused() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(FrameError):
            unpack_frame(SMALL[:length])


@pytest.mark.parametrize("vector", GOOD, ids=names(GOOD))
def test_every_single_bit_flip_is_refused(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            unpack_frame(bytes(changed))


def test_every_split_is_whole_only_when_joined() -> None:
    for at in range(1, len(SMALL)):
        for part in (SMALL[:at], SMALL[at:]):
            with pytest.raises(FrameError):
                unpack_frame(part)
        assert unpack_frame(SMALL[:at] + SMALL[at:]) == unpack_frame(SMALL)


def test_trailing_bytes_are_refused() -> None:
    for tail in (b"\0", b"\xff" * 8, SMALL):
        with pytest.raises(FrameLength):
            unpack_frame(SMALL + tail)


def test_samples_are_a_read_only_view_of_the_message() -> None:
    buffer = bytearray(SMALL)
    for data in (SMALL, memoryview(SMALL), memoryview(buffer), memoryview(np.frombuffer(SMALL, dtype=np.int16))):
        samples = unpack_frame(data).samples
        assert np.shares_memory(samples, np.frombuffer(data, dtype=np.uint8))
        assert not samples.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            samples[0, 0] = 1
    shifted = memoryview(b"\0" + SMALL)[1:]  # at an odd address
    assert unpack_frame(shifted) == unpack_frame(SMALL)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for message in (data, SMALL[:HEADER_BYTES] + data, SMALL[:4] + data):
        if message != SMALL:
            with pytest.raises(FrameError):
                unpack_frame(message)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    codec = draw(st.sampled_from(Codec))
    dtype = draw(st.sampled_from([np.int16, np.int32]))
    channels, n = draw(st.integers(1, MAX_CHANNELS)), draw(st.integers(1, 40))
    shape = (channels, n) if codec == Codec.RAW else (channels, 2, n)
    off = draw(st.sets(st.integers(0, min(channels, 16) - 1)))
    return Frame(
        stream=draw(st.integers(0, 2**32 - 1)),
        seq=draw(st.integers(0, 2**64 - 1)),
        first_sample=draw(st.integers(0, 2**64 - 1)),
        t0_us=draw(st.integers(0, LATEST_US - 1)),
        samples=draw(hnp.arrays(dtype, shape)),
        flags=with_lead_off(draw(st.integers(0, 3)), off),
        view=draw(st.integers(0, 2**16 - 1)),
        codec=codec,
    )


@given(frames())
def test_round_trip(frame: Frame) -> None:
    data = pack_frame(frame)
    again = unpack_frame(data)
    assert again == frame
    assert again.samples.dtype == frame.samples.dtype
    assert pack_frame(again) == data


def test_memory_order_and_byte_order_do_not_matter() -> None:
    samples = np.arange(24, dtype=np.int32).reshape(8, 3)
    frame = Frame(1, 2, 3, 4, samples.T)
    assert pack_frame(frame) == pack_frame(Frame(1, 2, 3, 4, np.ascontiguousarray(samples.T)))
    assert pack_frame(frame) == pack_frame(Frame(1, 2, 3, 4, samples.T.astype(">i4")))


def frame_of(**changes: Any) -> Frame:
    fields: dict[str, Any] = {
        "stream": 1,
        "seq": 0,
        "first_sample": 0,
        "t0_us": 1,
        "samples": np.zeros((2, 3), np.int16),
    }
    return Frame(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"samples": np.zeros((2, 3), np.float32)}, FrameDtype),
        ({"samples": np.zeros((2, 3), np.int64)}, FrameDtype),
        ({"samples": np.zeros((2, 3), np.uint16)}, FrameDtype),
        ({"samples": np.zeros(3, np.int16)}, FrameSamples),
        ({"samples": np.zeros((2, 0), np.int16)}, FrameSamples),
        ({"samples": np.zeros((1, 65_537), np.int16)}, FrameSamples),
        ({"samples": np.zeros((0, 3), np.int16)}, FrameChannels),
        ({"samples": np.zeros((33, 3), np.int16)}, FrameChannels),
        ({"codec": 1}, FrameSamples),
        ({"codec": 2}, FrameCodec),
        ({"flags": 4}, FrameReserved),
        ({"flags": 1 << 18}, FrameReserved),
        ({"flags": 1 << 32}, FrameReserved),
        ({"stream": 2**32}, FrameNumber),
        ({"seq": -1}, FrameNumber),
        ({"first_sample": 2**64}, FrameNumber),
        ({"view": 65_536}, FrameNumber),
        ({"t0_us": -1}, FrameTime),
        ({"t0_us": LATEST_US}, FrameTime),
    ],
)
def test_what_could_not_be_read_back_is_not_written(changes: dict[str, Any], error: type[FrameError]) -> None:
    with pytest.raises(error):
        pack_frame(frame_of(**changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"view": 1}, FrameReserved),
        ({"flags": FrameFlags.PROVISIONAL}, FrameReserved),
        ({"codec": Codec.MINMAX, "samples": np.zeros((1, 2, 3), np.int16)}, FrameCodec),
        ({"samples": np.zeros((8, 65_536), np.int32)}, FrameLength),
    ],
)
def test_a_station_may_not_send_what_is_the_servers(changes: dict[str, Any], error: type[FrameError]) -> None:
    data = pack_frame(frame_of(**changes))
    unpack_frame(data)
    with pytest.raises(error):
        unpack_frame(data, uplink=True)


def test_the_longest_uplink_frame_is_accepted() -> None:
    frame = frame_of(samples=np.zeros((8, 65_536), np.int16))
    data = pack_frame(frame)
    assert len(data) == MAX_UPLINK_BYTES
    assert unpack_frame(data, uplink=True) == frame


@given(st.sets(st.integers(0, 15)), st.integers(0, 2**32 - 1))
def test_electrode_bits(off: set[int], flags: int) -> None:
    marked = with_lead_off(flags, off)
    assert lead_off(marked) == tuple(sorted(off))
    assert marked & 0xFFFF == flags & 0xFFFF
    with pytest.raises(FrameChannels):
        with_lead_off(0, [16])


def test_frames_differ_in_any_field() -> None:
    frame = frame_of()
    assert frame == frame_of()
    for changes in (
        {"stream": 2}, {"seq": 1}, {"first_sample": 1}, {"t0_us": 2}, {"flags": 1}, {"view": 1},
        {"samples": np.ones((2, 3), np.int16)}, {"samples": np.zeros((2, 3), np.int32)},
        {"samples": np.zeros((3, 2), np.int16)},
    ):  # fmt: skip
        assert frame != frame_of(**changes)
    assert frame != "frame"
    assert missing_value(np.int16) == -32768
    assert missing_value("<i4") == -2147483648
