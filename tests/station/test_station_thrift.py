"""A poor line at the station: the picture gives way step by step, then the voice, and they come back so."""

from __future__ import annotations

import asyncio
import fractions
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.codecs.base import Encoder
from telemed_station.camera import stamps
from telemed_station.camera.encoders import (
    PAYLOAD_BYTES,
    STEPS,
    ThriftyOpus,
    ThriftyVp8,
    encoder_for,
    packetized,
)
from telemed_station.camera.picture import Picture
from telemed_station.camera.sources import Tone, video_pts
from telemed_station.camera.thrift import (
    AGAIN_S,
    BACK_BITS_S,
    GOOD_FOR_S,
    LEAST_BITS_S,
    MOST_BITS_S,
    VOICE_BITS_S,
    VOICE_LOW_BITS_S,
    Thrift,
)
from telemed_station.clock import StationClock

BEGAN_US = 1_763_800_000_000_000


@dataclass
class Bench:
    """A thrift whose line and clock are set by hand."""

    behind_s: float | None = 0.0
    now_s: float = 100.0
    thrift: Thrift = field(init=False)

    def __post_init__(self) -> None:
        self.thrift = Thrift(lambda: self.behind_s, lambda: self.now_s)

    def after(self, seconds: float, asked: int = 800_000) -> int:
        """What the picture may have so much later, looked at ten times a second."""
        for _ in range(round(10 * seconds)):
            self.now_s = round(self.now_s + 0.1, 1)
            allowed = self.thrift.video_bits_s(asked)
        return allowed


def test_a_picture_is_halved_each_two_seconds_down_to_none_and_then_the_voice() -> None:
    bench = Bench()
    assert bench.after(1) == 800_000
    bench.behind_s = 0.6
    seen = []
    for _ in range(6):
        seen.append(bench.after(0.1))
        bench.after(AGAIN_S - 0.1)
    assert seen == [400_000, 200_000, 100_000, 50_000, 0, 0]
    assert bench.thrift.paused
    assert bench.thrift.voice_bits_s() == VOICE_LOW_BITS_S


def test_it_comes_back_a_step_each_ten_seconds_the_voice_first() -> None:
    bench = Bench(behind_s=1.0)
    bench.after(7 * AGAIN_S)
    bench.behind_s = 0.1
    assert bench.after(GOOD_FOR_S + 0.2) == 0
    assert bench.thrift.voice_bits_s() == VOICE_BITS_S
    steps = [bench.after(GOOD_FOR_S + 0.2) for _ in range(6)]
    assert steps == [BACK_BITS_S, 160_000, 320_000, 640_000, 800_000, 800_000]


def test_neither_good_nor_bad_changes_nothing_and_starts_the_ten_seconds_anew() -> None:
    bench = Bench()
    bench.after(0.1)
    bench.behind_s = 1.0
    bench.after(0.1)
    bench.behind_s = 0.1
    half = bench.after(GOOD_FOR_S - 0.5)
    bench.behind_s = 0.3
    bench.after(1)
    bench.behind_s = 0.1
    assert bench.after(GOOD_FOR_S - 0.5) == half == 400_000


def test_a_line_that_was_cut_is_another_line() -> None:
    bench = Bench(behind_s=1.0)
    bench.after(5 * AGAIN_S)
    bench.behind_s = None
    assert bench.after(0.1) == 800_000
    assert bench.thrift.voice_bits_s() == VOICE_BITS_S


def frames(encoder: ThriftyVp8, seconds: float, *, whole_at: float | None = None, begin_s: float = 0.0) -> list[int]:
    """The bytes of each frame that went out of 20 a second, 0 for one that was left out."""
    picture, sizes = Picture(), []
    for number in range(round(20 * begin_s), round(20 * (begin_s + seconds))):
        stamp_us = BEGAN_US + 50_000 * number
        frame = picture.draw(stamp_us, lit=number % 16 < 3)
        frame.pts, frame.time_base = video_pts(stamp_us), fractions.Fraction(1, 90_000)
        payloads, timestamp = encoder.encode(frame, whole_at is not None and number == round(20 * whole_at))
        assert timestamp == frame.pts
        assert all(len(payload) <= PAYLOAD_BYTES for payload in payloads)
        sizes.append(sum(map(len, payloads)))
    return sizes


@pytest.mark.parametrize("allowed", [50_000, 80_000, 150_000, 200_000, 400_000, 1_500_000])
def test_the_picture_keeps_to_what_it_may_have_by_fewer_then_smaller_frames(allowed: int) -> None:
    encoder = ThriftyVp8(Thrift())
    encoder.target_bitrate = allowed
    sizes = frames(encoder, 10)
    assert 8 * sum(sizes) / 10 <= 1.15 * allowed
    sent = sum(size > 0 for size in sizes) / 10
    _, most, part = next(step for step in STEPS if allowed >= step[0])
    assert 5 <= sent <= most + 1
    assert encoder._codec is not None
    assert (encoder._codec.width, encoder._codec.height) == (640 // part, 360 // part & ~1)


def test_a_decoder_follows_every_change_of_rate_and_size() -> None:
    encoder, decoder = ThriftyVp8(Thrift()), av.CodecContext.create("vp8", "r")
    picture, sent, shown = Picture(), 0, []
    for number in range(300):
        encoder.target_bitrate = (800_000, 60_000, 400_000)[number // 100]
        stamp_us = BEGAN_US + 50_000 * number
        frame = picture.draw(stamp_us, lit=False)
        frame.pts, frame.time_base = video_pts(stamp_us), fractions.Fraction(1, 90_000)
        payloads, _ = encoder.encode(frame)
        if payloads:
            sent += 1
            data = b"".join(payload[4:] for payload in payloads)
            shown += [(one.width, one.height) for one in decoder.decode(av.Packet(data))]
    assert len(shown) == sent > 100
    assert [shown[0], shown[-1]] == [(640, 360), (640, 360)]
    assert (320, 180) in shown


def test_a_whole_picture_that_was_asked_for_in_a_pause_comes_with_the_next_frame() -> None:
    encoder = ThriftyVp8(Thrift())
    encoder.target_bitrate = 100_000
    frames(encoder, 2)
    seen = []
    picture = Picture()
    for number in range(40, 60):
        stamp_us = BEGAN_US + 50_000 * number
        frame = picture.draw(stamp_us, lit=False)
        frame.pts, frame.time_base = video_pts(stamp_us), fractions.Fraction(1, 90_000)
        payloads, _ = encoder.encode(frame, number == 41)
        seen.append(bool(payloads) and payloads[0][4] & 1 == 0)  # RFC 6386 section 9.1: 0 is a key frame
    assert seen.count(True) == 1


def test_a_paused_picture_sends_a_small_frame_now_and_then() -> None:
    bench = Bench(behind_s=1.0)
    bench.after(7 * AGAIN_S)
    encoder = ThriftyVp8(bench.thrift)
    sizes = frames(encoder, 20)
    assert 8 <= sum(size > 0 for size in sizes) <= 12
    assert 8 * sum(sizes) / 20 < LEAST_BITS_S / 4


def test_packets_of_a_frame_say_so() -> None:
    """RFC 7741 section 4.2: S on the first alone, the same 15 bits of picture ID on each."""
    data = bytes(range(256)) * 20
    payloads = packetized(data, 0x1234)
    assert [payload[0] for payload in payloads] == [0x90, *[0x80] * (len(payloads) - 1)]
    assert {payload[1:4] for payload in payloads} == {bytes((0x80, 0x92, 0x34))}
    assert b"".join(payload[4:] for payload in payloads) == data


def test_sound_is_repaired_by_the_packet_after_it() -> None:
    """One packet in twenty is lost; the decoder takes it out of the next one (RFC 6716 section 2.1.7)."""
    bench = Bench()
    encoder = ThriftyOpus(bench.thrift)
    t = np.arange(48_000 * 2)
    # A voice's pitch and two of its formants, which Opus takes for speech.
    sound = sum(np.sin(2 * np.pi * hz * t / 48_000) / n for n, hz in enumerate((150, 300, 450, 600, 750), 1))
    samples = np.rint(6_000 * sound).astype(np.int16)
    packets: list[bytes] = []
    for start in range(0, samples.size, 960):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        made, first = encoder.encode(frame)
        if made:
            assert first == 960 * len(packets)
        packets += made
    assert len(packets) >= 98
    size = sum(map(len, packets))
    assert 8 * size / 2 < 1.3 * VOICE_BITS_S
    # RFC 6716 section 3.1: configurations 0 to 15 are SILK and hybrid, the modes that can repair.
    assert all(packet[0] >> 3 < 16 for packet in packets[5:])
    bench.behind_s = 1.0
    bench.after(7 * AGAIN_S)
    frame = av.AudioFrame.from_ndarray(samples[None, :960], format="s16", layout="mono")
    frame.sample_rate, frame.pts = 48_000, 0
    encoder.encode(frame)
    assert encoder._codec is not None
    assert encoder._codec.bit_rate == VOICE_LOW_BITS_S


def test_what_is_not_ours_is_left_to_aiortc() -> None:
    assert isinstance(encoder_for("VP8", Thrift()), ThriftyVp8)
    assert isinstance(encoder_for("opus", Thrift()), ThriftyOpus)
    assert encoder_for("H264", Thrift()) is None
    assert MOST_BITS_S > 10 * LEAST_BITS_S


class Noise(MediaStreamTrack):
    """Pictures that no encoder makes small."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._draw = np.random.default_rng(1)

    async def recv(self) -> av.VideoFrame:
        self._number += 1
        rows = self._draw.integers(0, 255, (360, 640, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(rows, format="rgb24")
        frame.pts, frame.time_base = 4_500 * self._number, fractions.Fraction(1, 90_000)
        return frame


async def test_no_datagram_is_longer_than_a_tunnel_takes_and_both_encoders_are_ours() -> None:
    ours, theirs = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    senders = [ours.addTrack(Noise()), ours.addTrack(Tone(StationClock()))]
    made: list[str] = []

    def make(codec: str) -> Encoder | None:
        made.append(codec)
        return encoder_for(codec, Thrift())

    for sender in senders:
        stamps.encode_by(sender, make)
    with stamps.addresses_for("127.0.0.1"):
        await ours.setLocalDescription(await ours.createOffer())
        await theirs.setRemoteDescription(ours.localDescription)
        await theirs.setLocalDescription(await theirs.createAnswer())
    ice: Any = senders[0].transport.transport
    send, sizes = ice._send, []

    async def sending(data: bytes) -> None:
        if 127 < data[0] < 192:  # RFC 7983: RTP and RTCP
            sizes.append(len(data))
        await send(data)

    ice._send = sending
    try:
        await ours.setRemoteDescription(theirs.localDescription)
        async with asyncio.timeout(20):
            while sum(size > PAYLOAD_BYTES for size in sizes) < 20 or len(made) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await ours.close()
        await theirs.close()
    assert max(sizes) <= 1_200
    assert sorted(made) == ["VP8", "opus"]


def test_a_use_of_the_encoder_that_moved_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "USES", (*stamps.USES, "self.__no_such_encoder"))
    with pytest.raises(stamps.AdapterMismatch, match="no_such_encoder"):
        stamps.check_contract()
