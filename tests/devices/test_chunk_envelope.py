"""docs/protocol.md section 3: vectors first, then every truncation, every bit, every split, round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices.envelope import HEADER_BYTES, MAX_PAYLOAD_BYTES, Chunk, pack_chunk, unpack_chunk
from telemed_devices.faults import ChunkError, ChunkLength, ChunkNumber, ChunkTime
from telemed_devices.native import LATEST_US, MAX_UPLINK_BYTES

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "chunks.json").read_text("utf-8"))[
    "chunks"
]
GOOD = [vector for vector in VECTORS if "expect" in vector]
BAD = [vector for vector in VECTORS if "error" in vector]


@pytest.mark.parametrize("vector", GOOD, ids=[vector["name"] for vector in GOOD])
def test_a_vector_decodes_and_encodes_to_itself(vector: dict[str, Any]) -> None:
    data, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    chunk = Chunk(expect["stream"], int(expect["seq"]), int(expect["t0_us"]), bytes.fromhex(expect["payload"]))
    assert unpack_chunk(data) == chunk
    assert unpack_chunk(memoryview(data)) == chunk
    assert pack_chunk(chunk) == data


@pytest.mark.parametrize("vector", BAD, ids=[vector["name"] for vector in BAD])
def test_a_bad_vector_is_refused_by_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(ChunkError) as refused:
        unpack_chunk(bytes.fromhex(vector["hex"]))
    assert refused.value.code == vector["error"]


@pytest.mark.parametrize("vector", GOOD, ids=[vector["name"] for vector in GOOD])
def test_every_truncation_and_every_bit_flip_is_refused(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for length in range(len(data)):
        with pytest.raises(ChunkError):
            unpack_chunk(data[:length])
        with pytest.raises(ChunkError):
            unpack_chunk(data[length + 1 :])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ChunkError):
            unpack_chunk(bytes(changed))


@given(
    st.builds(
        Chunk,
        stream=st.integers(0, 2**32 - 1),
        seq=st.integers(0, 2**64 - 1),
        t0_us=st.integers(0, LATEST_US - 1),
        payload=st.binary(min_size=1, max_size=600),
    )
)
def test_round_trip(chunk: Chunk) -> None:
    assert unpack_chunk(pack_chunk(chunk)) == chunk


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for message in (data, b"TMC1\x01\0\0\0" + data):
        with pytest.raises(ChunkError):
            unpack_chunk(message)


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        (Chunk(-1, 0, 0, b"x"), ChunkNumber),
        (Chunk(0, 2**64, 0, b"x"), ChunkNumber),
        (Chunk(0, 0, -1, b"x"), ChunkTime),
        (Chunk(0, 0, 0, b""), ChunkLength),
        (Chunk(0, 0, 0, bytes(MAX_PAYLOAD_BYTES + 1)), ChunkLength),
    ],
)
def test_what_could_not_be_read_back_is_not_written(chunk: Chunk, error: type[ChunkError]) -> None:
    with pytest.raises(error):
        pack_chunk(chunk)


def test_the_longest_chunk_is_accepted_and_fits_the_uplink() -> None:
    data = pack_chunk(Chunk(1, 2, 3, bytes(MAX_PAYLOAD_BYTES)))
    assert len(data) == HEADER_BYTES + MAX_PAYLOAD_BYTES <= MAX_UPLINK_BYTES
    assert len(unpack_chunk(data).payload) == MAX_PAYLOAD_BYTES
