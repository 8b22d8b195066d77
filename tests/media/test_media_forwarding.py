"""Pictures and sound through a real media plane, over real ICE, DTLS and SRTP on loopback."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import numpy as np
import pytest

from telemed.media.relay import relay, rtp

SSRC = 0x01020304
NTP = (3_960_000_000 << 32) | 0x80000000
ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"


def packet(peer: Any, number: int, kind: str = "video") -> rtp.RtpPacket:
    """The ``number``-th packet of our own making: VP8-like, one a frame, each different."""
    payload = b"\x10\x00\x9d\x01\x2a" + number.to_bytes(4, "big") * (10 + number % 200)
    return rtp.RtpPacket(peer.payload_type(kind), True, (65_500 + number) & 0xFFFF, 3000 * number, SSRC, payload)


async def send(peer: Any, numbers: range) -> None:
    for number in numbers:
        await peer.send(packet(peer, number))


async def test_the_viewer_gets_the_publishers_payloads_byte_for_byte(
    plane: Any, wait: Any, picture: Any, tone: Any
) -> None:
    publisher = await plane.publisher(picture(), tone())
    viewer = await plane.viewer(publisher, "audio", "video")
    viewer.consume()
    await wait(lambda: len(viewer.of("video")) > 100 and len(viewer.of("audio")) > 60, "packets arrive")
    await wait(lambda: any(hasattr(frame, "width") for frame in viewer.frames), "a picture decodes")
    for kind in ("audio", "video"):
        got = viewer.of(kind)
        sent = [packet for packet in publisher.sent if packet.payload_type == publisher.payload_type(kind)]
        start = next(at for at, packet in enumerate(sent) if packet.payload == got[0].payload)
        for ours, theirs in zip(got, sent[start:], strict=False):
            assert ours.payload == theirs.payload
            assert ours.marker == theirs.marker
            assert (ours.sequence - got[0].sequence) & 0xFFFF == (theirs.sequence - sent[start].sequence) & 0xFFFF
            assert (ours.timestamp - got[0].timestamp) % 2**32 == (theirs.timestamp - sent[start].timestamp) % 2**32
        assert {packet.ssrc for packet in got} != {packet.ssrc for packet in sent}
        assert got[0].sequence < 32_768


async def test_the_tone_arrives_and_only_the_viewer_decodes(plane: Any, wait: Any, tone: Any, picture: Any) -> None:
    publisher = await plane.publisher(tone(), picture())
    viewer = await plane.viewer(publisher, "audio")
    viewer.consume()
    await wait(lambda: len(viewer.frames) > 60, "a second of sound arrives")
    samples = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in viewer.frames[10:60]])
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert abs(np.argmax(spectrum) * 48_000 / len(samples) - 440) < 2
    decoders = [thread.name for thread in threading.enumerate() if "decoder" in thread.name]
    assert decoders == ["audio-decoder"]  # the viewer's own: the plane received two tracks and decodes none


async def test_keyframe_requests_of_all_viewers_become_one_a_second(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    await send(publisher, range(3))
    await wait(lambda: plane.media.stats().packets_in == 3, "the source is known")
    viewer = await plane.viewer(publisher, "video")
    await wait(lambda: rtp.KeyframeRequest(SSRC) in publisher.feedback, "a join asks at once")
    await send(publisher, range(3, 6))
    await wait(lambda: len(viewer.received) == 3, "packets arrive")
    ours = viewer.received[0].ssrc
    picture_loss, full = rtp.picture_loss(1, ours), bytes.fromhex("84ce0004") + b"\0\0\0\1" + bytes(4)
    fir = full + ours.to_bytes(4, "big") + b"\1\0\0\0"
    await viewer.send_rtcp(rtp.receiver_report(1, []) + picture_loss * 30 + fir * 5)
    await wait(lambda: publisher.feedback.count(rtp.KeyframeRequest(SSRC)) == 2, "the next second asks once more")
    assert plane.media.stats().keyframes_asked == 2


async def test_a_packet_lost_on_the_way_to_a_viewer_is_sent_again_as_it_was(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    viewer = await plane.viewer(publisher, "video")
    lost: set[int] = set()

    def every_tenth_once(sequence: int) -> bool:
        # Not the very first nor the last: only a gap between two packets can be seen.
        first_time = 0 < len(viewer.received) < 80 and sequence % 10 == 3 and sequence not in lost
        lost.update({sequence} if first_time else ())
        return first_time

    viewer.lose(every_tenth_once)
    await send(publisher, range(100))  # across the wrap of the publisher's sequence numbers
    every = {packet(publisher, number).payload for number in range(100)}
    await wait(lambda: {got.payload for got in viewer.received} == every, "every packet arrives in the end")
    assert len(lost) >= 7
    got_once = {got.sequence: got for got in viewer.received}  # asked for again meanwhile, one may come twice
    by_sequence = [got_once[sequence] for sequence in sorted(got_once)]  # the resent ones fit in, in every field
    assert [got.timestamp - by_sequence[0].timestamp for got in by_sequence] == [3000 * n for n in range(100)]
    assert plane.media.stats().packets_resent >= len(lost)


async def test_a_packet_lost_on_the_way_from_the_publisher_is_asked_for(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    viewer = await plane.viewer(publisher, "video")
    missing = packet(publisher, 50)
    await send(publisher, range(50))
    await send(publisher, range(51, 60))
    await wait(lambda: rtp.Nack(SSRC, (missing.sequence,)) in publisher.feedback, "the gap is asked for")
    await publisher.send(missing)
    await publisher.send(missing)
    await send(publisher, range(60, 62))
    await wait(lambda: len(viewer.received) >= 62, "the gap is filled")
    assert missing.payload in [got.payload for got in viewer.received]
    assert plane.media.stats().packets_out == 62  # the second copy went to nobody


async def test_sender_reports_keep_the_publishers_clock_and_shift_the_timestamp(plane: Any, wait: Any) -> None:
    room = plane.listen()
    publisher = await plane.publisher("video", "audio")
    first = await plane.viewer(publisher, "video", "audio")
    await send(publisher, range(5))
    await wait(lambda: len(first.received) == 5, "packets arrive")
    stamp = packet(publisher, 4).timestamp
    empty = rtp.SenderReport(SSRC, 0, 0, 0, 0)
    for report in (empty, rtp.SenderReport(SSRC, NTP, stamp, 5, 500)):
        await publisher.send_rtcp(rtp.sender_report(report) + rtp.source_description(SSRC, "station"))
    later = await plane.viewer(publisher, "video")
    await send(publisher, range(5, 7))
    await wait(lambda: len(later.received) == 2, "packets arrive at the second viewer")
    events = []
    while not room.queue.empty():
        events.append(room.queue.get_nowait())
    for viewer, number in ((first, 4), (later, 6)):
        reports = await wait(
            lambda viewer=viewer: [m for m in viewer.feedback if isinstance(m, rtp.SenderReport)], "a report arrives"
        )
        shift = viewer.received[-1].timestamp - packet(publisher, 6).timestamp
        assert [report.ntp for report in reports] == [NTP]
        assert reports[0].ssrc == viewer.received[0].ssrc
        assert (reports[0].rtp - stamp - shift) % 2**32 == 0, number
        assert {
            "type": "sender_report", "publication": publisher.resource.publication.id, "kind": "video",
            "ntp_ms": (3_960_000_000 - 2_208_988_800) * 1000 + 500.0, "rtp": reports[0].rtp,
        } in events


async def test_the_publisher_hears_how_it_is_received_and_what_it_may_send(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    raw: list[bytes] = []
    take = publisher.dtls._handle_rtcp_data

    async def taking(data: bytes) -> None:
        raw.append(data)
        await take(data)

    publisher.dtls._handle_rtcp_data = taking
    await send(publisher, range(20))
    compound = await wait(lambda: next((data for data in raw if b"REMB" in data), None), "feedback arrives")
    assert compound[1] == rtp.RR
    assert compound[8:12] == SSRC.to_bytes(4, "big")


async def test_a_silent_publisher_is_taken_off_with_its_viewers_and_comes_back_by_itself(
    plane: Any, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = plane.listen()
    publisher = await plane.publisher("video")
    viewer = await plane.viewer(publisher, "video")
    assert station.queue.get_nowait()["publications"] == [
        {"id": publisher.resource.publication.id, "by": "station", "participant": "station:1", "source": "camera",
         "kinds": ["video"]}
    ]
    monkeypatch.setattr(relay, "SILENT_SECONDS", 0.2)
    await wait(lambda: plane.media.stats().publications == 0, "the publication is removed")
    await wait(lambda: viewer.pc.connectionState == "closed", "the viewer is told goodbye")
    assert station.queue.get_nowait() == {"type": "publications", "publications": []}
    assert [one.role for one in plane.media._sessions.values()] == ["publish"]
    await send(publisher, range(3))
    await wait(lambda: plane.media.stats().publications == 1, "it is there again, by the same connection")
    (back,) = station.queue.get_nowait()["publications"]
    assert back["id"] == publisher.resource.publication.id
    await plane.viewer(publisher, "video")
    monkeypatch.setattr(relay, "KEPT_SECONDS", 0.5)
    await wait(lambda: not plane.media._sessions, "and gone for good when it stays silent")
    await wait(lambda: publisher.pc.connectionState == "closed", "which it is told")


@pytest.mark.parametrize("state", ["ended", "cancelled"])
async def test_the_end_of_a_consultation_ends_its_media(plane: Any, wait: Any, state: str) -> None:
    publisher = await plane.publisher("video")
    viewer = await plane.viewer(publisher, "video")
    topic = f"consultation:{ROOM}"
    for still in ("live", "interrupted", "live"):
        plane.rooms.publish(topic, {"type": "consultation", "consultation": {"id": ROOM, "state": still}})
    await send(publisher, range(3))
    await wait(lambda: len(viewer.received) == 3, "an interrupted consultation keeps its media")
    plane.rooms.publish(topic, {"type": "consultation", "consultation": {"id": ROOM, "state": state}})
    await wait(lambda: not plane.media._sessions, "every session is ended")
    for peer in (publisher, viewer):
        await wait(lambda peer=peer: peer.pc.connectionState == "closed", "the peer is told goodbye")
    assert not plane.media._watchers


async def test_peers_that_never_connect_or_vanish_are_let_go(
    plane: Any, wait: Any, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = await plane.publisher("video")
    sending = asyncio.ensure_future(_keep_sending(publisher))
    viewer = await plane.viewer(publisher, "video")
    never = peer()
    never.pc.addTransceiver("video", direction="recvonly")
    await plane.media.play(publisher.resource.publication.id, await never.offer())
    for protocol in viewer.dtls.transport._connection._protocols:
        protocol.transport.abort()
    assert plane.media.stats().viewers == 2
    monkeypatch.setattr(relay, "VIEWER_SILENT_SECONDS", 0.5)
    monkeypatch.setattr(relay, "CONNECT_SECONDS", 0.5)
    await wait(lambda: plane.media.stats().viewers == 0, "both are let go")
    assert plane.media.stats().publications == 1
    sending.cancel()
    await never.close()


async def _keep_sending(publisher: Any) -> None:
    number = 0
    while True:
        await publisher.send(packet(publisher, number))
        number += 1
        await asyncio.sleep(0.02)


async def test_a_malformed_packet_ends_nothing(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    viewer = await plane.viewer(publisher, "video")
    kind = publisher.payload_type("video")
    broken = [  # libsrtp itself refuses a header longer than its packet
        bytes([0xA0, kind]) + bytes(10) + b"\xff",  # more padding than packet
        bytes([0x80, 5]) + bytes(30),  # a payload type nobody agreed
    ]
    for data in broken:
        await publisher.dtls.transport._send(publisher.dtls._tx_srtp.protect(data))
    for data in (b"\x81\xc9\x00\x01abcd", b"\x81\xcd\x00\x01abcd", b"\x80\xc8\x00\x01abcd"):
        await publisher.send_rtcp(data)
        await viewer.send_rtcp(data)
    await publisher.dtls.transport._send(b"\x16\xfe\xfd" + os.urandom(60))  # no DTLS record of this session
    await send(publisher, range(5))
    await wait(lambda: len(viewer.received) == 5, "media still passes")


async def test_thirty_viewers_come_and_go_and_leave_nothing(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    sending = asyncio.ensure_future(_keep_sending(publisher))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    threads = threading.active_count()
    tasks = len(asyncio.all_tasks())
    for number in range(30):
        viewer = await plane.viewer(publisher, "video")
        await wait(lambda viewer=viewer: viewer.received, "packets arrive")
        if number % 2:
            await plane.media.delete(viewer.resource.id)
        await viewer.close()
    await wait(lambda: plane.media.stats().viewers == 0, "every viewer is gone")
    await wait(lambda: len(os.listdir("/proc/self/fd")) == before, "every socket is closed")  # noqa: PTH208
    assert threading.active_count() == threads
    await wait(lambda: len(asyncio.all_tasks()) <= tasks, "every task is done")
    assert not plane.relay.viewers
    assert not plane.relay.forwarders[publisher.resource.publication.id].viewers
    sending.cancel()
