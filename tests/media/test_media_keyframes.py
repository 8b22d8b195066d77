"""Whole pictures that many ask for at once: one request serves them all, and nobody waits for a second one."""

from __future__ import annotations

from typing import Any

from telemed.media.relay import rtp

SSRC = 0x01020304
KEYFRAME = b"\x10\x00\x9d\x01\x2a"  # VP8: start of a partition, a whole picture (RFC 7741 section 4.2, RFC 6386 9.1)
FOLLOWING = b"\x10\x01"


async def send(publisher: Any, number: int, start: bytes) -> None:
    payload_type = publisher.payload_type("video")
    await publisher.send(rtp.RtpPacket(payload_type, True, number, 3000 * number, SSRC, start + b"%d" % number))


async def test_those_who_come_together_share_one_request_and_its_answer(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    await send(publisher, 1, FOLLOWING)
    counts = plane.relay.counts
    await wait(lambda: counts.packets_in == 1, "the source is known")
    (forwarder,) = plane.relay.forwarders.values()
    viewers = [await plane.viewer(publisher, "video") for _ in range(3)]
    for viewer in list(forwarder.viewers) * 10:  # as a room does when everybody is to see another speaker
        forwarder.leave(viewer)
        forwarder.join(viewer)
    assert counts.keyframes_asked == 1
    await send(publisher, 2, KEYFRAME)
    await wait(lambda: all(viewer.of("video") for viewer in viewers), "all have the whole picture")
    assert forwarder.upstream._keyframe_later is None, "nobody is left who waits for another one"
    late = await plane.viewer(publisher, "video")
    await wait(lambda: publisher.feedback.count(rtp.KeyframeRequest(SSRC)) == 2, "who comes later asks at once")
    await send(publisher, 3, KEYFRAME)
    await wait(lambda: late.of("video"), "and has it")
    assert counts.keyframes_asked == 2


async def test_a_request_without_an_answer_is_made_again(plane: Any, wait: Any) -> None:
    publisher = await plane.publisher("video")
    await send(publisher, 1, FOLLOWING)
    await wait(lambda: plane.relay.counts.packets_in == 1, "the source is known")
    first = await plane.viewer(publisher, "video")
    second = await plane.viewer(publisher, "video")
    await send(publisher, 2, FOLLOWING)
    await wait(lambda: first.of("video") and second.of("video"), "packets arrive, but no whole picture")
    assert plane.relay.counts.keyframes_asked == 1
    await wait(lambda: publisher.feedback.count(rtp.KeyframeRequest(SSRC)) == 2, "it is asked for once more")
