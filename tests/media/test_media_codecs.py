"""Key frames in RTP payloads: RFC 7741 and RFC 6184 by hand, real encoders' pictures, and anything at all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from telemed.media.relay.keyframes import is_keyframe

KEY, INTER = "10", "11"  # a VP8 frame's first byte: P = 0, P = 1


@pytest.mark.parametrize(
    "descriptor",
    [
        "10",  # S
        "30",  # N and S
        "90 80 05",  # short picture ID
        "90 80 8005",  # long picture ID
        "90 40 07",  # TL0PICIDX
        "90 20 60",  # TID
        "90 10 60",  # KEYIDX
        "90 e0 8005 07 60",
        "90 00",
    ],
)
def test_a_vp8_key_frame_begins_behind_any_descriptor(descriptor: str) -> None:
    assert is_keyframe("VP8", bytes.fromhex(descriptor + KEY + "02009d012a"))
    assert not is_keyframe("VP8", bytes.fromhex(descriptor + INTER + "02009d012a"))
    assert not is_keyframe("VP8", bytes.fromhex(descriptor))


@pytest.mark.parametrize("descriptor", ["00", "11", "17", "80 80 05"])
def test_another_partition_or_its_middle_is_no_beginning(descriptor: str) -> None:
    assert not is_keyframe("VP8", bytes.fromhex(descriptor + KEY + "02009d012a"))


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ("65 88", True),  # IDR
        ("67 42", True),  # SPS
        ("68 ce", False),  # PPS
        ("61 e0", False),  # slice
        ("06 05", False),  # SEI
        ("78 0004 67420001 0002 68ce", True),  # STAP-A with SPS
        ("78 0002 68ce 0002 6588", True),
        ("78 0002 68ce 0002 61e0", False),
        ("78 ffff 68ce", False),
        ("78 0000 0000 0001 65", True),
        ("7c 85 88", True),  # FU-A, the start of an IDR
        ("7c 87 42", True),
        ("7c 05 88", False),  # its middle
        ("7c 45 88", False),  # its end
        ("7c 81 e0", False),  # the start of a slice
        ("65", False),
        ("7c", False),
        ("", False),
    ],
)
def test_an_h264_key_frame_alone_together_and_in_pieces(payload: str, key: bool) -> None:
    assert is_keyframe("H264", bytes.fromhex(payload)) is key
    assert is_keyframe("H264", memoryview(bytes.fromhex(payload))) is key


@given(st.sampled_from(["VP8", "H264", "opus", "AV1", ""]), st.binary(max_size=40))
def test_any_bytes_are_a_key_frame_or_not(codec: str, payload: bytes) -> None:
    key = is_keyframe(codec, payload)
    assert isinstance(key, bool)
    assert not (key and codec not in ("VP8", "H264"))


@pytest.mark.parametrize(("codec", "encoder"), [("VP8", Vp8Encoder), ("H264", H264Encoder)])
def test_what_an_encoder_was_told_to_make_whole_is_a_key_frame(codec: str, encoder: Any) -> None:
    encoding = encoder()
    several = False
    noise = np.random.default_rng(4)
    for number in range(12):
        frame = VideoFrame.from_ndarray(noise.integers(0, 255, (240, 320, 3), dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90_000)
        payloads, _ = encoding.encode(frame, force_keyframe=number == 7)
        keys = [is_keyframe(codec, payload) for payload in payloads]
        several = several or len(payloads) > 1
        assert any(keys) is (number in (0, 7))
        assert keys[0] is any(keys)  # it begins with the first packet
    assert several
