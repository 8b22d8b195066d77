"""The SDP answer of a leg, and the fragment that answers an ICE restart. Pure: an offer, terms and ground give a text.

RFC 9725 section 4.4 and RFC 8829 section 5.3 (answers), RFC 8839 (ICE-lite, candidates), RFC 9143 section 7.3 (BUNDLE),
RFC 8853 (layers), RFC 5576 (SSRC attributes), RFC 8830 (msid). The candidates are in every section of a group: those
that follow the letter read the first one, aiortc reads the last.
"""

from __future__ import annotations

import zlib

from telemed.media.backend import Role
from telemed.media.offer import MediaSection, Offer
from telemed.media.relay.extensions import EXTENSIONS
from telemed.media.terms import Ground, Stream, Terms

# RFC 7587 section 6.1: what we forward may be lost on the way to whoever watches, so each packet mends the one before.
OPUS = "minptime=10;useinbandfec=1"
# No standard has words for taking layers that have no names. A peer without this attribute sends one.
LAYERS_TAKEN = "x-telemed-layers:2"
FEEDBACK = {  # agreed on when both sides have it; the last two by what the stream says
    "audio": ("nack",),
    "video": ("nack", "nack pli", "ccm fir"),
}


def write_answer(offer: Offer, terms: Terms, ground: Ground, role: Role) -> str:
    """The answer: what ``terms`` carries in one direction, every other section inactive, and all our candidates.

    ``role`` is the peer's: a publisher's sections are ``recvonly`` here, a viewer's ``sendonly``.
    """
    carried = {stream.kind: stream for stream in terms.streams}
    number = zlib.crc32(ground.ufrag.encode())  # RFC 8866 section 5.2: any number that is this session's alone
    lines = ["v=0", f"o=- {number} 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *_group(offer), "a=ice-lite"]
    for section in offer.sections:
        stream = carried.get(section.kind)
        lines += _section(offer, section, stream, terms, ground)
        if stream is None:
            codec = section.codecs[0]
            lines += ["a=inactive", _rtpmap(codec.payload_type, codec.name, codec.clock_hz, codec.channels)]
        elif role == "publish":
            lines += ["a=recvonly", *_formats(section, stream), *_taken(stream)]
        else:
            lines += ["a=sendonly", *_formats(section, stream), *_given(stream, ground)]
    return "".join(f"{line}\r\n" for line in lines)


def write_fragment(offer: Offer, ground: Ground) -> str:
    """The trickle-ice-sdpfrag body (RFC 8840) that answers an ICE restart: our new credentials and candidates."""
    first = offer.first
    lines = [
        "a=ice-lite", *_group(offer),
        f"m={first.kind} 9 {first.profile} {first.codecs[0].payload_type}", f"a=mid:{first.mid}",
        f"a=ice-ufrag:{ground.ufrag}", f"a=ice-pwd:{ground.password}", *_candidates(ground),
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _group(offer: Offer) -> list[str]:
    return [f"a=group:BUNDLE {' '.join(offer.bundle)}"] if offer.bundle else []


def _candidates(ground: Ground) -> list[str]:
    return [*(f"a=candidate:{candidate}" for candidate in ground.candidates), "a=end-of-candidates"]


def _section(
    offer: Offer, section: MediaSection, stream: Stream | None, terms: Terms, ground: Ground
) -> list[str]:
    """The m= line and the transport. The port says nothing: 9, never 0, which would take it out of the group."""
    formats = [section.codecs[0].payload_type] if stream is None else [stream.payload_type]
    if stream is not None and stream.rtx_payload_type is not None:
        formats.append(stream.rtx_payload_type)
    return [
        f"m={section.kind} 9 {section.profile} {' '.join(map(str, formats))}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        f"a=ice-ufrag:{ground.ufrag}",
        f"a=ice-pwd:{ground.password}",
        f"a=fingerprint:{ground.fingerprint}",
        f"a=setup:{'active' if terms.active else 'passive'}",
        "a=rtcp-mux",
        *(["a=rtcp-mux-only"] if section.mux_only else []),
        *_candidates(ground),
    ]


def _formats(section: MediaSection, stream: Stream) -> list[str]:
    codec = next(codec for codec in section.codecs if codec.payload_type == stream.payload_type)
    lines = [_rtpmap(codec.payload_type, codec.name, codec.clock_hz, codec.channels)]
    parameters = {"opus": OPUS, "H264": codec.parameters}.get(stream.codec, "")
    if parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {parameters}")
    known = [name for name in FEEDBACK[section.kind] if name in codec.feedback]
    known += ["goog-remb"] if stream.remb else []
    known += ["transport-cc"] if stream.twcc else []
    lines += [f"a=rtcp-fb:{codec.payload_type} {name}" for name in known]
    if stream.rtx_payload_type is not None:
        lines.append(_rtpmap(stream.rtx_payload_type, "rtx", codec.clock_hz, None))
        lines.append(f"a=fmtp:{stream.rtx_payload_type} apt={codec.payload_type}")
    return lines


def _rtpmap(payload_type: int, name: str, clock_hz: int, channels: int | None) -> str:
    return f"a=rtpmap:{payload_type} {name}/{clock_hz}{'' if channels is None else f'/{channels}'}"


def _taken(stream: Stream) -> list[str]:
    """What a publisher may add: header extensions and layers."""
    lines = [f"a=extmap:{number} {EXTENSIONS[name]}" for name, number in stream.extensions.items()]
    if stream.rids:
        lines += [f"a=rid:{rid} recv" for rid in stream.rids]
        lines.append(f"a=simulcast:recv {';'.join(stream.rids)}")
    elif stream.ssrcs:
        lines.append(f"a={LAYERS_TAKEN}")
    return lines


def _given(stream: Stream, ground: Ground) -> list[str]:
    """What a viewer gets: one MediaStream, its tracks by kind, and the SSRCs they come under."""
    ssrc, rtx = ground.ssrcs[stream.kind]
    numbers = [ssrc] if rtx is None or stream.rtx_payload_type is None else [ssrc, rtx]
    group = [f"a=ssrc-group:FID {' '.join(map(str, numbers))}"] if len(numbers) > 1 else []
    names = [f"a=ssrc:{number} cname:{ground.cname}" for number in numbers]
    return [f"a=msid:{ground.cname} {stream.kind}", *group, *names]
