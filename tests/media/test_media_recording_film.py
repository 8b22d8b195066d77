"""A recording while it is made, without a relay: real VP8 and Opus packets in, WebM out, read by libavformat."""

from __future__ import annotations

import fractions
import io
import random
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import av
import numpy as np
import pytest

from telemed.media.recording import tapped
from telemed.media.recording.film import CLUSTER_MS, Film, Part
from telemed.media.recording.frames import REORDER_US, Ordered, Pictures, opus_ms
from telemed.media.recording.tapped import Packet, Report
from telemed.media.recording.timeline import SLEW_US, Line, Span
from telemed.media.recording.webm import Cue, Size, file_head

BEGAN_US = 1_700_000_000_000_000
FRAMES = 90
KEY_EVERY = 30
NTP_OF_1970 = 2_208_988_800


@cache
def vp8() -> list[bytes]:
    """Three seconds at 30 a second, a key frame each second."""
    encoder: Any = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = 320, 240, "yuv420p", KEY_EVERY
    encoder.framerate, encoder.bit_rate = 30, 400_000
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "keyint_min": str(KEY_EVERY)}
    noise = np.random.default_rng(1).integers(0, 256, (240, 640), np.uint8)
    found = []
    for number in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(noise[:, 2 * number : 2 * number + 320].copy(), format="gray")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        found += [bytes(packet) for packet in encoder.encode(frame)]
    return found


@cache
def opus() -> list[bytes]:
    """Three seconds of 20 ms packets."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", 24_000
    found = []
    for number in range(150):
        samples = (8_000 * np.sin(np.arange(960 * number, 960 * (number + 1)) / 17)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 960 * number, fractions.Fraction(1, 48_000)
        found += [bytes(packet) for packet in encoder.encode(frame)]
    return found


def video_packets(frames: Sequence[bytes], first: int = 7, layer: int = 0, cut: int = 700) -> list[Packet]:
    """The frames as a browser sends them: 15-bit picture ids, pieces of ``cut`` bytes."""
    packets: list[Packet] = []
    for number, frame in enumerate(frames):
        pieces = [frame[at : at + cut] for at in range(0, len(frame), cut)]
        for place, piece in enumerate(pieces):
            head = bytes((0x90 if place == 0 else 0x80, 0x80)) + (0x8000 | number & 0x7FFF).to_bytes(2, "big")
            at_us = BEGAN_US + number * 1_000_000 // 30 + place
            packets.append(Packet(
                "VP8", layer, place == len(pieces) - 1, first + len(packets), (5_000 + 3_000 * number) & 0xFFFFFFFF,
                at_us, head + piece,
            ))
    return packets


def audio_packets(payloads: Sequence[bytes]) -> list[Packet]:
    return [
        Packet("opus", 0, False, 100 + number, (2**32 - 4_800 + 960 * number) & 0xFFFFFFFF,
               BEGAN_US + number * 20_000, payload)
        for number, payload in enumerate(payloads)
    ]


def merged(*lines: Sequence[Packet]) -> list[Packet]:
    return sorted((packet for line in lines for packet in line), key=lambda packet: packet.at_us)


def film_of(records: Iterable[Packet | Report]) -> tuple[Film, list[Part]]:
    film = Film()
    parts: list[Part] = []
    for record in records:
        parts += film.feed(record)
    parts += film.tick(BEGAN_US + 10_000_000)
    parts += film.finish()
    return film, parts


def file_of(film: Film, parts: Sequence[Part]) -> bytes:
    places = np.cumsum([0, *(len(part.data) for part in parts)])
    cues = [Cue(part.first_ms, int(at)) for part, at in zip(parts, places, strict=False) if part.key]
    head = file_head(max(part.until_ms for part in parts), film.size, film.sound, cues, int(places[-1]))
    return head + b"".join(part.data for part in parts)


def tracks(data: bytes) -> dict[str, list[tuple[int, bytes]]]:
    """(milliseconds, payload) of every packet by kind, as libavformat reads them."""
    found: dict[str, list[tuple[int, bytes]]] = {"audio": [], "video": []}
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux():
            if packet.size:
                assert packet.pts is not None
                assert packet.time_base is not None
                found[packet.stream.type].append((round(packet.pts * packet.time_base * 1000), bytes(packet)))
    return found


def decoded(data: bytes, kind: str) -> int:
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(**{kind: 0}))


def test_every_frame_comes_back_byte_for_byte_and_decodes() -> None:
    film, parts = film_of(merged(video_packets(vp8()), audio_packets(opus())))
    data = file_of(film, parts)
    found = tracks(data)
    assert [payload for _, payload in found["video"]] == vp8()
    assert [payload for _, payload in found["audio"]] == opus()
    assert [at for at, _ in found["video"]] == [round(number * 1000 / 30) for number in range(FRAMES)]
    assert [at for at, _ in found["audio"]] == [20 * number for number in range(len(opus()))]
    assert decoded(data, "video") == FRAMES
    with av.open(io.BytesIO(data)) as container:
        assert container.duration == 3_000_000, "in microseconds: the last sound has ended"
        assert (container.streams.video[0].width, container.streams.video[0].height) == (320, 240)
    assert all(part.until_ms - part.first_ms <= CLUSTER_MS + 20 for part in parts)
    assert [part.first_ms for part in parts if part.key] == [0, 1000, 2000]
    assert film.lost == 0


def test_a_player_seeks_by_the_cues() -> None:
    film, parts = film_of(merged(video_packets(vp8()), audio_packets(opus())))
    with av.open(io.BytesIO(file_of(film, parts))) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        container.seek(round(2.5 / stream.time_base), stream=stream)
        first = next(container.decode(video=0))
        assert first.pts is not None
        assert first.pts * stream.time_base == 2, "from the key frame before"


@pytest.mark.parametrize("count", [2, 4, 6, 8])
def test_a_file_that_ends_after_any_cluster_plays_to_its_end(count: int) -> None:
    film, parts = film_of(merged(video_packets(vp8()), audio_packets(opus())))
    assert len(parts) > count
    data = file_of(film, parts[:count])
    assert decoded(data, "video") == len(tracks(data)["video"]) > 0


def test_packets_in_any_order_within_the_wait_give_the_same_pictures() -> None:
    chance = random.Random(4)
    packets = video_packets(vp8())
    shuffled = sorted(packets, key=lambda packet: packet.number + chance.uniform(0, 8))  # at most 267 ms
    shuffled.insert(0, shuffled.pop(shuffled.index(packets[0])))  # nothing says that one came before the first
    film, parts = film_of([*shuffled[:40], *shuffled[20:60], *shuffled[40:]])  # and some of them twice
    assert [payload for _, payload in tracks(file_of(film, parts))["video"]] == vp8()
    assert film.lost == 0


def test_after_a_loss_nothing_is_shown_before_a_whole_picture() -> None:
    packets = video_packets(vp8())
    missing = next(packet for packet in packets if packet.timestamp == 5_000 + 3_000 * 40)
    film = Film()
    parts: list[Part] = []
    for packet in packets:
        if packet is not missing:
            parts += film.feed(packet)
    assert film.wants_keyframe(packets[-1].at_us) is False, "one has come since"
    parts += film.finish()
    data = file_of(film, parts)
    kept = [payload for _, payload in tracks(data)["video"]]
    assert kept == [*vp8()[:40], *vp8()[60:]]
    assert film.lost == 1
    assert decoded(data, "video") == len(kept)


def test_a_whole_picture_is_asked_for_after_a_loss_and_every_ten_seconds() -> None:
    packets = video_packets(vp8()[:10])
    film = Film()
    for packet in packets[:-1]:
        list(film.feed(packet))
    at = packets[-1].at_us
    assert not film.wants_keyframe(at)
    assert film.wants_keyframe(at + 10_000_000)
    assert not film.wants_keyframe(at + 10_500_000), "not again at once"
    film.break_off()
    assert film.wants_keyframe(at + 11_000_001)


def test_padding_that_took_a_number_between_two_pictures_loses_nothing() -> None:
    packets = video_packets(vp8())
    shifted = [
        Packet(p.codec, p.layer, p.marker, p.number + 3 * (p.timestamp >= 5_000 + 3_000 * 12), p.timestamp, p.at_us,
               p.payload)
        for p in packets
    ]
    film, parts = film_of(shifted)
    assert [payload for _, payload in tracks(file_of(film, parts))["video"]] == vp8()


def test_another_layer_begins_with_its_whole_picture() -> None:
    first = video_packets(vp8()[:40])
    second = [
        Packet(p.codec, 1, p.marker, p.number + 5_000, p.timestamp + 123_456, p.at_us, p.payload)
        for p in video_packets(vp8()) if p.timestamp >= 5_000 + 3_000 * 60
    ]
    film, parts = film_of([*first, *second])
    kept = tracks(file_of(film, parts))["video"]
    assert [payload for _, payload in kept] == [*vp8()[:40], *vp8()[60:]]
    assert kept[40][0] == 2_000


def test_h264_is_counted_and_not_recorded() -> None:
    strange = [Packet("H264", 0, True, n, 3_000 * n, BEGAN_US + n, b"\x65" * 40) for n in range(20)]
    film, parts = film_of(merged(strange, audio_packets(opus())))
    assert film.unshown == 20
    assert film.size is None
    found = tracks(file_of(film, parts))
    assert [payload for _, payload in found["audio"]] == opus()
    assert found["video"] == []


def test_bytes_that_are_no_vp8_break_nothing() -> None:
    chance = random.Random(7)
    film = Film()
    for number in range(3_000):
        list(film.feed(Packet(
            "VP8", 0, chance.random() < 0.3, number, chance.randrange(2**32), BEGAN_US + number * 1_000,
            chance.randbytes(chance.randrange(1, 40)),
        )))
    pictures = Pictures()
    for payload in (b"", b"\x90", b"\x90\x80", b"\x90\x80\x80", b"\x90\xf0\x00\x00\x00", b"\x10" + b"\x00" * 20):
        packet = Packet("VP8", 0, True, 0, 0, 0, payload)
        assert list(pictures.take(0, packet)) == []
        assert pictures.waits


def test_the_sound_is_moved_to_the_picture_by_sender_reports() -> None:
    """The sound came 140 ms later than it was taken, the picture 20 ms; both say so in their first reports."""
    stamp_us = BEGAN_US - 3_600_000_000  # the publisher's clock is an hour behind
    ntp = [((stamp_us + us) * 2**32 // 1_000_000) + (NTP_OF_1970 << 32) for us in (980_000, 860_000)]
    reports = Report("VP8", 0, ntp[0], 5_000 + 90_000), Report("opus", 0, ntp[1], (2**32 - 4_800 + 48_000) & 0xFFFFFFFF)
    video, audio = video_packets(vp8()), audio_packets(opus())
    film = Film()
    parts: list[Part] = []
    for packet in merged(video, audio):
        if packet.at_us >= BEGAN_US + 1_000_000:
            for report in reports:
                parts += film.feed(report)
            reports = ()  # type: ignore[assignment]
        parts += film.feed(packet)
    parts += film.finish()
    found = tracks(file_of(film, parts))
    assert [at for at, _ in found["video"]] == [round(number * 1000 / 30) for number in range(FRAMES)], "it stays"
    late = [at - 20 * number for number, (at, _) in enumerate(found["audio"])]
    assert set(late[60:]) == {-120}
    assert film.span.stamp_us == stamp_us - 20_000
    assert not film.span.torn


def test_a_line_follows_drift_slowly_and_a_clock_that_was_set_not_at_all() -> None:
    span = Span()
    span.begin(BEGAN_US)
    line = Line(span, 48_000)
    stamp_us = 50_000_000_000
    for second in range(600):  # a sound card that counts 48,005 a second
        at = 48_005 * second
        assert abs(line.place(at & 0xFFFFFFFF, BEGAN_US + second * 1_000_000) - second * 1_000_000) < 1_200
        line.report(((stamp_us + second * 1_000_000) << 32) // 1_000_000 + (NTP_OF_1970 << 32), at & 0xFFFFFFFF)
    assert not span.torn
    before = line.place(48_005 * 600, BEGAN_US + 600_000_000)
    line.report(((stamp_us + 7_200_000_000) << 32) // 1_000_000 + (NTP_OF_1970 << 32), 48_005 * 600)
    assert span.torn
    assert abs(line.place(48_005 * 600, BEGAN_US + 600_000_000) - before) <= SLEW_US


def test_a_missing_packet_is_waited_for_no_longer_than_said() -> None:
    ordered = Ordered()
    packets = [Packet("opus", 0, False, n, 960 * n, n * 20_000, b"\x08") for n in range(30)]
    out = [one for packet in packets[:3] for one in ordered.take(packet)]
    out += [one for packet in packets[4:10] for one in ordered.take(packet)]
    assert [packet.number for _, packet in out] == [0, 1, 2]
    out = list(ordered.due(packets[4].at_us + REORDER_US))
    assert [(lost, packet.number) for lost, packet in out] == [(1, 4), (0, 5), (0, 6), (0, 7), (0, 8), (0, 9)]
    assert list(ordered.take(packets[3])) == [], "it comes too late"


@pytest.mark.parametrize(("first", "length_ms"), [
    (b"\x08", 20.0), (b"\x00", 10.0), (b"\x18", 60.0), (b"\x60", 10.0), (b"\x78", 20.0), (b"\xf8", 20.0),
    (b"\x80", 2.5), (b"\xf9", 40.0), (b"\xfb\x03", 60.0), (b"\xfb", 0.0), (b"", 0.0),
])
def test_the_length_of_an_opus_packet(first: bytes, length_ms: float) -> None:
    """RFC 6716 table 2 and section 3.2."""
    assert opus_ms(first) == length_ms


def test_records_cross_the_socket_unchanged_and_every_truncation_is_refused() -> None:
    packet, report = video_packets(vp8())[0], Report("opus", 0, 2**63 + 5, 77)
    record = tapped.packet_record(1, 0, packet.marker, packet.number, packet.timestamp, packet.at_us) + packet.payload
    other = tapped.report_record(0, 0, report.ntp, report.timestamp)
    message = tapped.head(9) + tapped.length(len(record)) + record + tapped.length(len(other)) + other
    assert tapped.tap_of(message) == 9
    assert list(tapped.records(message)) == [packet, report]
    whole = {len(tapped.head(9)), len(tapped.head(9)) + 2 + len(record)}
    for size in range(len(tapped.head(9)), len(message)):
        if size not in whole:
            with pytest.raises(ValueError, match="record"):
                list(tapped.records(message[:size]))
    with pytest.raises(ValueError, match="tap"):
        tapped.tap_of(message[:4])


def test_a_head_of_sound_alone_has_no_picture() -> None:
    film, parts = film_of(audio_packets(opus()))
    assert film.size is None
    data = file_of(film, parts)
    with av.open(io.BytesIO(data)) as container:
        assert [stream.type for stream in container.streams] == ["audio"]
    assert file_head(1, Size(16, 16), sound=False, cues=(), clusters_bytes=0).startswith(b"\x1a\x45\xdf\xa3")
