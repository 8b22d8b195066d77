"""What an SDP offer asks for, checked before any engine sees it; and the trickle fragment (RFC 8840). Pure.

RFC 9725 section 4.4 (what a WHIP offer may hold), RFC 9143 (BUNDLE), RFC 4585 (feedback), RFC 4588 (RTX), RFC 8285
(header extensions), RFC 8851 and 8853 (layers). The grammar below it is :mod:`telemed.media.sdp`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from telemed.media import sdp
from telemed.media.backend import Role, SdpInvalid, SdpUnsupported
from telemed.media.relay.extensions import EXTENSIONS
from telemed.media.sdp import Transport, values
from telemed.media.terms import Stream, Terms

KINDS = ("audio", "video")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
PROFILES = ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")
FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")  # what we can hear and say
EXTENSION_ID_MAX = 14  # of a one-byte header, RFC 8285 section 4.2; a longer one would lengthen every packet
LAYERS = 2  # of simulcast that are used: a whole picture, and one for a poor line

_MEDIA = re.compile(r"([a-z]+) ([0-9]{1,5}) ([A-Z/]+) (.+)")
_RTPMAP = re.compile(r"([0-9]{1,3}) ([^/ ]{1,64})/([0-9]{1,7})(?:/([0-9]{1,3}))?")
_APT = re.compile(r"(?:.*;)?\s*apt=([0-9]{1,3})\s*(?:;.*)?")  # RFC 4588 section 8.1
_EXTMAP = re.compile(r"([0-9]{1,5})(?:/(sendrecv|sendonly|recvonly|inactive))? (\S{1,255})(?: .*)?")
_RID = re.compile(r"([A-Za-z0-9_-]{1,16}) (send|recv)(?: .*)?")  # RFC 8851 section 4; 16 bytes fit a one-byte header

_EXTENSION_NAMES = {uri: name for name, uri in EXTENSIONS.items()}
# What a publisher's packets may carry; a viewer's carry none, for the answer names their SSRCs.
_TAKEN = {
    "audio": ("mid", "audio_level", "abs_send_time", "twcc"),
    "video": ("mid", "rid", "repaired_rid", "abs_send_time", "twcc"),
}

Media = Literal["opus", "VP8", "H264/42e01f", "H264/42001f"]  # what is forwarded; H.264 by its profile
MEDIA: tuple[Media, ...] = ("opus", "VP8", "H264/42e01f", "H264/42001f")  # best first


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of a media section: ``name`` as in rtpmap, ``parameters`` the raw fmtp text, ``feedback`` those of
    :data:`FEEDBACK` that the peer knows for it, ``rtx`` the payload type of its retransmissions."""

    payload_type: int
    name: str
    clock_hz: int
    channels: int | None = None
    parameters: str = ""
    feedback: frozenset[str] = frozenset()
    rtx: int | None = None


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m= section. ``profile`` is its RTP profile, ``extensions`` the ids of the known header extensions by short
    name, ``rids`` the layers it sends best first, ``ssrcs`` those without names, each with that of its repeated
    packets; ``mux_only`` RFC 8858's attribute; ``ssrc`` and ``cname`` are of the first a=ssrc line with a cname, if
    any."""

    kind: str
    mid: str
    direction: str
    codecs: tuple[Codec, ...]
    transport: Transport
    profile: str
    extensions: Mapping[str, int] = field(default_factory=dict)
    rids: tuple[str, ...] = ()
    ssrcs: tuple[tuple[int, int | None], ...] = ()
    mux_only: bool = False
    ssrc: int | None = None
    cname: str = ""

    @property
    def ufrag(self) -> str:
        """The ICE username fragment."""
        return self.transport.ufrag


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked description. ``bundle`` are the mids of the BUNDLE group, in its order; empty without one.

    ``text`` holds the candidates that can be used and no end-of-candidates.
    """

    text: str
    sections: tuple[MediaSection, ...]
    bundle: tuple[str, ...] = ()

    def section(self, kind: str) -> MediaSection | None:
        """The section of this kind, if there is one."""
        return next((section for section in self.sections if section.kind == kind), None)

    @property
    def first(self) -> MediaSection:
        """The section whose transport all have: the first of the group (RFC 9143 section 7.2.1)."""
        return next((one for one in self.sections if one.mid in self.bundle[:1]), self.sections[0])


@dataclass(frozen=True, slots=True)
class Fragment:
    """A trickle fragment: ``candidates`` are the values of its usable a=candidate lines, ``mids`` of its sections."""

    ufrag: str | None
    candidates: tuple[str, ...]
    password: str | None = None
    mids: tuple[str, ...] = ()


def read_offer(text: str) -> Offer:
    """Check an offer. Raises ``SdpInvalid`` for what is no offer, ``SdpUnsupported`` for what is not served."""
    offer = read_description(text)
    if "a=ice-lite" in offer.text.partition("\r\nm=")[0].split("\r\n"):  # two that only answer checks never begin
        raise SdpUnsupported(reason="ice-lite")
    kinds = [section.kind for section in offer.sections]
    if len(set(kinds)) != len(kinds):
        raise SdpUnsupported(reason="more than one section of a kind")
    return offer


def read_description(text: str) -> Offer:
    """Check and read a description, offer or answer. Raises as :func:`read_offer`."""
    lines = sdp.lines_of(text)
    if not lines or lines[0] != "v=0":
        raise SdpInvalid(reason="version")
    session, groups = sdp.grouped(lines)
    if not groups:
        raise SdpInvalid(reason="no media")
    if len(groups) > len(KINDS):
        raise SdpUnsupported(reason="more than two media sections")
    heads = [_head(group) for group in groups]
    mids = [sdp.required([], group, "mid", sdp.TOKEN) for group in groups]
    bundle = _bundle(session, mids)
    tagged = groups[mids.index(bundle[0])] if bundle else groups[0]
    sections = tuple(_section(session, group, tagged, head) for group, head in zip(groups, heads, strict=True))
    _check_extensions(sections)
    kept = [*session, *(line for group in groups for line in sdp.usable(group))]
    return Offer("\r\n".join(kept) + "\r\n", sections, bundle)


def read_fragment(text: str) -> Fragment:
    """Read a trickle-ice-sdpfrag body. Raises ``SdpInvalid``."""
    lines = sdp.lines_of(text)
    if not lines:
        raise SdpInvalid(reason="empty fragment")
    candidates = tuple(
        line.removeprefix("a=candidate:") for line in sdp.usable(lines) if line.startswith("a=candidate:")
    )
    mids = tuple(values(lines, "mid"))
    if any(sdp.TOKEN.fullmatch(mid) is None for mid in mids):
        raise SdpInvalid(reason="mid")
    password = _one(lines, "ice-pwd", sdp.PASSWORD)
    return Fragment(_one(lines, "ice-ufrag", sdp.UFRAG), candidates, password, mids)


def carried(section: MediaSection) -> list[Media]:
    """What of the section can be forwarded, best first: VP8 before H.264."""
    found = {_media(section.kind, codec) for codec in section.codecs}
    return [media for media in MEDIA if media in found]


def terms(offer: Offer, carry: Mapping[str, Media], role: Role) -> Terms:
    """What is agreed with the peer that offered this, when the kinds in ``carry`` are carried, each as this.

    Raises ``SdpUnsupported`` when the offer does not have what is to be carried.
    """
    peer = offer.first.transport
    streams = tuple(_stream(section, carry[section.kind], role) for section in offer.sections if section.kind in carry)
    if len(streams) != len(carry):
        raise SdpUnsupported(reason="codec")
    return Terms(peer.ufrag, peer.password, peer.fingerprints, peer.setup == "passive", streams)


def _stream(section: MediaSection, media: Media, role: Role) -> Stream:
    codec = next((codec for codec in section.codecs if _media(section.kind, codec) == media), None)
    if codec is None:
        raise SdpUnsupported(reason="codec")
    rids = section.rids if role == "publish" and "rid" in section.extensions else ()
    names = [name for name in _TAKEN[section.kind] if role == "publish" and (rids or "rid" not in name)]
    ssrcs = section.ssrcs if role == "publish" and not rids else ()
    extensions = {name: section.extensions[name] for name in names if name in section.extensions}
    nack = "nack" in codec.feedback
    return Stream(
        section.kind, section.mid, media.partition("/")[0], codec.payload_type, codec.clock_hz,
        codec.rtx if nack else None, nack, "goog-remb" in codec.feedback,
        "transport-cc" in codec.feedback and "twcc" in extensions, extensions, rids, ssrcs,
    )


def _media(kind: str, codec: Codec) -> Media | None:
    name = codec.name.upper()
    if kind == "audio":
        return "opus" if name == "OPUS" and codec.clock_hz == 48_000 else None
    if codec.clock_hz != 90_000:
        return None
    if name == "VP8":
        return "VP8"
    profile = re.search(r"profile-level-id=(42e0|4200)", codec.parameters.lower())
    if name != "H264" or profile is None or "packetization-mode=1" not in codec.parameters:
        return None
    return "H264/42e01f" if profile[1] == "42e0" else "H264/42001f"


def _one(lines: list[str], name: str, pattern: re.Pattern[str]) -> str | None:
    """The attribute's value, the same wherever it is written; None without it."""
    found = set(values(lines, name))
    if len(found) > 1 or any(pattern.fullmatch(value) is None for value in found):
        raise SdpInvalid(reason=name)
    return next(iter(found), None)


def _head(group: list[str]) -> re.Match[str]:
    """Kind, port, profile and formats of the m= line."""
    media = _MEDIA.fullmatch(group[0].removeprefix("m="))
    if media is None:
        raise SdpInvalid(reason="media line")
    if media[1] not in KINDS:
        raise SdpUnsupported(reason="media kind")
    return media


def _section(session: list[str], group: list[str], tagged: list[str], media: re.Match[str]) -> MediaSection:
    # RFC 9143 section 7.1.4: with port 0 and without a transport of its own, but not rejected.
    bundled = "a=bundle-only" in group and group is not tagged
    if media[3] not in PROFILES or (media[2] == "0" and not bundled):
        raise SdpUnsupported(reason="media transport")
    own = tagged if bundled and not values(group, "ice-ufrag") else group
    directions = [line[2:] for line in (*session, *group) if line[2:] in DIRECTIONS and line.startswith("a=")]
    ssrc, cname = _first_ssrc(group)
    layers = (_rids(group), _ssrc_layers(group)) if media[1] == "video" else ((), ())
    return MediaSection(
        media[1], sdp.required([], group, "mid", sdp.TOKEN), directions[-1] if directions else "sendrecv",
        _codecs(group, media[4].split()), sdp.transport(session, own), media[3],
        _extensions(session, group), *layers, "a=rtcp-mux-only" in own, ssrc, cname,
    )


def _codecs(group: list[str], formats: list[str]) -> tuple[Codec, ...]:
    parameters = dict(value.split(" ", 1) for value in values(group, "fmtp") if " " in value)
    feedback = _feedback(group)
    order = {name: place for place, name in reversed(list(enumerate(formats)))}
    found: dict[str, tuple[int, str, int, int | None]] = {}
    for value in values(group, "rtpmap"):
        match = _RTPMAP.fullmatch(value)
        if match is None or int(match[1]) > 127:
            raise SdpInvalid(reason="rtpmap")
        if match[1] in order:
            found[match[1]] = int(match[1]), match[2], int(match[3]), int(match[4]) if match[4] else None
    rtx: dict[str, int] = {}
    for name, (number, codec, _, _) in found.items():
        apt = _APT.fullmatch(parameters.get(name, ""))
        if codec.lower() == "rtx" and apt is not None:
            rtx.setdefault(apt[1], number)
    if not found:
        raise SdpUnsupported(reason="codec")
    everywhere = feedback.get("*", frozenset())
    return tuple(
        Codec(*found[name], parameters.get(name, ""), feedback.get(name, frozenset()) | everywhere, rtx.get(name))
        for name in sorted(found, key=order.__getitem__)
    )


def _feedback(group: list[str]) -> dict[str, frozenset[str]]:
    """The feedback of each payload type, ``*`` for all (RFC 4585 section 4.2)."""
    known: dict[str, frozenset[str]] = {}
    for value in values(group, "rtcp-fb"):
        name, _, what = value.partition(" ")
        if what in FEEDBACK:
            known[name] = known.get(name, frozenset()) | {what}
    return known


def _extensions(session: list[str], group: list[str]) -> dict[str, int]:
    """The ids of known extensions that the peer may send; the section's own go before the session's."""
    found: dict[str, int] = {}
    for value in (*values(session, "extmap"), *values(group, "extmap")):
        match = _EXTMAP.fullmatch(value)
        if match is None:
            raise SdpInvalid(reason="extmap")
        name = _EXTENSION_NAMES.get(match[3])
        if name is not None and match[2] not in ("recvonly", "inactive") and 0 < int(match[1]) <= EXTENSION_ID_MAX:
            found[name] = int(match[1])
    if len(set(found.values())) != len(found):
        raise SdpInvalid(reason="extmap")
    return found


def _check_extensions(sections: tuple[MediaSection, ...]) -> None:
    """One id means one thing in the whole group (RFC 9143 section 8), or a packet could not be read before it is
    known whose it is. Raises ``SdpInvalid``."""
    meant: dict[int, str] = {}
    for section in sections:
        for name, number in section.extensions.items():
            if meant.setdefault(number, name) != name:
                raise SdpInvalid(reason="extmap")


def _rids(group: list[str]) -> tuple[str, ...]:
    """The layers that are used of those offered: best and last, for the one between is seldom worth its bandwidth."""
    declared = set()
    for value in values(group, "rid"):
        match = _RID.fullmatch(value)
        if match is None:
            raise SdpInvalid(reason="rid")
        if match[2] == "send":
            declared.add(match[1])
    words = " ".join(values(group, "simulcast")).split()
    sent = words[words.index("send") + 1 :][:1] if "send" in words else []
    # RFC 8853 section 5.1: layers by semicolon, best first; alternatives by comma; a tilde begins paused.
    layers = [layer.split(",")[0].removeprefix("~") for layer in (sent[0].split(";") if sent else [])]
    if len(set(layers)) != len(layers) or not declared.issuperset(layers):
        raise SdpInvalid(reason="simulcast")
    return tuple(layers) if len(layers) == LAYERS else (layers[0], layers[-1]) if len(layers) > LAYERS else ()


def _ssrc_layers(group: list[str]) -> tuple[tuple[int, int | None], ...]:
    """Layers told by a=ssrc-group:SIM alone (RFC 5576 section 4.2; smallest first, as libwebrtc has it), best first."""
    groups = [value.split() for value in values(group, "ssrc-group")]
    numbers = [number for words in groups if words[:1] in (["SIM"], ["FID"]) for number in words[1:]]
    if any(not number.isdigit() or len(number) > 10 or int(number) >> 32 for number in numbers):
        raise SdpInvalid(reason="ssrc-group")
    repeated = {int(words[1]): int(words[2]) for words in groups if words[:1] == ["FID"] and len(words) == 3}
    layers = [int(number) for words in groups if words[:1] == ["SIM"] for number in words[:0:-1]]
    everybody = [*layers, *(repeated[layer] for layer in layers if layer in repeated)]
    if len(set(everybody)) != len(everybody):
        raise SdpInvalid(reason="ssrc-group")
    used = layers if len(layers) == LAYERS else [layers[0], layers[-1]] if len(layers) > LAYERS else []
    return tuple((layer, repeated.get(layer)) for layer in used)


def _first_ssrc(group: list[str]) -> tuple[int | None, str]:
    for value in values(group, "ssrc"):
        number, _, attribute = value.partition(" ")
        if number.isdigit() and len(number) <= 10 and attribute.startswith("cname:"):
            return int(number) & 0xFFFFFFFF, attribute.removeprefix("cname:")
    return None, ""


def _bundle(session: list[str], mids: list[str]) -> tuple[str, ...]:
    if len(set(mids)) != len(mids):
        raise SdpInvalid(reason="mid")
    bundles = [value.split()[1:] for value in values(session, "group") if value.split()[:1] == ["BUNDLE"]]
    whole = len(bundles) == 1 and sorted(bundles[0]) == sorted(mids)
    if not whole and (bundles or len(mids) > 1):
        raise SdpUnsupported(reason="bundle")
    return tuple(bundles[0]) if bundles else ()
