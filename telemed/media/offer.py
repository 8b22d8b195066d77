"""What an SDP offer asks for, checked before any engine sees it; and the trickle fragment (RFC 8840). Pure.

RFC 8866 (SDP), RFC 9725 sections 4.2 and 4.4 (what a WHIP offer may hold), RFC 8839 (ICE attributes).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from telemed.media.backend import SDP_BYTES, SdpInvalid, SdpUnsupported

LINES = 2_000  # of one description; the longest legitimate one measured has 170
CANDIDATES = 32  # kept of one description or fragment; a host with eight addresses offers sixteen
KINDS = ("audio", "video")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
HASHES = ("sha-256", "sha-384", "sha-512")  # RFC 8122 section 5, without the broken ones
PROFILES = ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")

# ASCII alone: other parsers split lines at characters that only look like spaces.
_LINE = re.compile(r"[a-z]=[\t\x20-\x7e]*")
_MEDIA = re.compile(r"([a-z]+) ([0-9]{1,5}) ([A-Z/]+) (.+)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,64}")  # RFC 8866 section 9, "token"
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){19,63}")
_RTPMAP = re.compile(r"([0-9]{1,3}) ([^/ ]{1,64})/([0-9]{1,7})(?:/([0-9]{1,3}))?")
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} 1 (\S+) [0-9]{1,10} (\S+) ([0-9]{1,5}) typ (host|srflx|prflx|relay)( .*)?"
)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of a media section: ``name`` as in rtpmap, ``parameters`` the raw fmtp text."""

    payload_type: int
    name: str
    clock_hz: int
    channels: int | None = None
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m= section. ``ssrc`` and ``cname`` are of the first a=ssrc line with a cname, if any."""

    kind: str
    mid: str
    direction: str
    codecs: tuple[Codec, ...]
    ufrag: str
    ssrc: int | None = None
    cname: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked description. ``text`` holds the candidates that can be used and no end-of-candidates."""

    text: str
    sections: tuple[MediaSection, ...]

    def section(self, kind: str) -> MediaSection | None:
        """The section of this kind, if there is one."""
        return next((section for section in self.sections if section.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A trickle fragment: ``candidates`` are the values of its usable a=candidate lines."""

    ufrag: str | None
    candidates: tuple[str, ...]


def read_offer(text: str) -> Offer:
    """Check an offer. Raises ``SdpInvalid`` for what is no offer, ``SdpUnsupported`` for what is not served."""
    offer = read_description(text)
    kinds = [section.kind for section in offer.sections]
    if len(set(kinds)) != len(kinds):
        raise SdpUnsupported(reason="more than one section of a kind")
    return offer


def read_description(text: str) -> Offer:
    """Check and read a description, offer or answer. Raises as :func:`read_offer`."""
    lines = _lines(text)
    if not lines or lines[0] != "v=0":
        raise SdpInvalid(reason="version")
    session, groups = _grouped(lines)
    if not groups:
        raise SdpInvalid(reason="no media")
    if any(line == "a=ice-lite" for line in session):
        raise SdpUnsupported(reason="ice-lite")
    if len(groups) > len(KINDS):
        raise SdpUnsupported(reason="more than two media sections")
    sections = tuple(_section(session, group) for group in groups)
    _check_bundle(session, [section.mid for section in sections])
    kept = [*session, *(line for group in groups for line in _usable(group))]
    return Offer("\r\n".join(kept) + "\r\n", sections)


def read_fragment(text: str) -> Fragment:
    """Read a trickle-ice-sdpfrag body. Raises ``SdpInvalid``."""
    lines = _lines(text)
    if not lines:
        raise SdpInvalid(reason="empty fragment")
    ufrags = {line.partition(":")[2] for line in lines if line.startswith("a=ice-ufrag:")}
    if len(ufrags) > 1:
        raise SdpInvalid(reason="ice-ufrag")
    candidates = tuple(
        line.removeprefix("a=candidate:") for line in _usable(lines) if line.startswith("a=candidate:")
    )
    return Fragment(next(iter(ufrags), None), candidates)


def usable_candidate(line: str) -> bool:
    """Whether an ``a=candidate:`` line can be used here: UDP, an address (no name), a port."""
    match = _CANDIDATE.fullmatch(line.removeprefix("a=candidate:"))
    if match is None or match[1].lower() != "udp" or not 0 < int(match[3]) < 65536:
        return False
    try:
        address = ipaddress.ip_address(match[2])
    except ValueError:  # a name, mostly of mDNS: resolving it would send multicasts (RFC 9725 allows to skip it)
        return False
    return not (address.is_multicast or address.is_unspecified)


def _lines(text: str) -> list[str]:
    if len(text) > SDP_BYTES:
        raise SdpInvalid(reason="size")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > LINES:
        raise SdpInvalid(reason="size")
    if any(_LINE.fullmatch(line) is None for line in lines):
        raise SdpInvalid(reason="line")
    return lines


def _grouped(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    groups: list[list[str]] = []
    for line in lines:
        if line.startswith("m="):
            groups.append([line])
        else:
            (groups[-1] if groups else session).append(line)
    return session, groups


def _usable(lines: list[str]) -> list[str]:
    kept: list[str] = []
    candidates = 0
    for line in lines:
        if line.startswith("a=candidate:"):
            candidates += 1
            if candidates > CANDIDATES or not usable_candidate(line):
                continue
        if not line.startswith("a=end-of-candidates"):  # the peer's own checks may come from anywhere
            kept.append(line)
    return kept


def _values(lines: list[str], name: str) -> list[str]:
    prefix = f"a={name}:"
    return [line.removeprefix(prefix).strip() for line in lines if line.startswith(prefix)]


def _required(session: list[str], group: list[str], name: str, pattern: re.Pattern[str]) -> str:
    found = _values(group, name) or _values(session, name)
    if not found or any(pattern.fullmatch(value) is None for value in found):
        raise SdpInvalid(reason=name)
    return found[-1]


def _section(session: list[str], group: list[str]) -> MediaSection:
    media = _MEDIA.fullmatch(group[0].removeprefix("m="))
    if media is None:
        raise SdpInvalid(reason="media line")
    if media[1] not in KINDS:
        raise SdpUnsupported(reason="media kind")
    if media[3] not in PROFILES or media[2] == "0":
        raise SdpUnsupported(reason="media transport")
    if "a=rtcp-mux" not in group:
        raise SdpUnsupported(reason="rtcp-mux")
    ufrag = _required(session, group, "ice-ufrag", _UFRAG)
    _required(session, group, "ice-pwd", _PASSWORD)
    if _required(session, group, "setup", _TOKEN) not in ("actpass", "active", "passive"):
        raise SdpInvalid(reason="setup")
    prints = [value.split() for value in _values(session, "fingerprint") + _values(group, "fingerprint")]
    if any(len(parts) != 2 or _DIGEST.fullmatch(parts[1]) is None for parts in prints):
        raise SdpInvalid(reason="fingerprint")
    if not any(parts[0].lower() in HASHES for parts in prints):
        raise SdpInvalid(reason="fingerprint")
    directions = [line[2:] for line in (*session, *group) if line[2:] in DIRECTIONS and line.startswith("a=")]
    ssrc, cname = _first_ssrc(group)
    return MediaSection(
        media[1], _required([], group, "mid", _TOKEN), directions[-1] if directions else "sendrecv",
        _codecs(group, media[4].split()), ufrag, ssrc, cname,
    )


def _codecs(group: list[str], formats: list[str]) -> tuple[Codec, ...]:
    parameters = dict(value.split(" ", 1) for value in _values(group, "fmtp") if " " in value)
    codecs: list[Codec] = []
    for value in _values(group, "rtpmap"):
        match = _RTPMAP.fullmatch(value)
        if match is None or int(match[1]) > 127:
            raise SdpInvalid(reason="rtpmap")
        if match[1] in formats:
            channels = int(match[4]) if match[4] else None
            codecs.append(Codec(int(match[1]), match[2], int(match[3]), channels, parameters.get(match[1], "")))
    if not codecs:
        raise SdpUnsupported(reason="codec")
    return tuple(codecs)


def _first_ssrc(group: list[str]) -> tuple[int | None, str]:
    for value in _values(group, "ssrc"):
        number, _, attribute = value.partition(" ")
        if number.isdigit() and len(number) <= 10 and attribute.startswith("cname:"):
            return int(number) & 0xFFFFFFFF, attribute.removeprefix("cname:")
    return None, ""


def _check_bundle(session: list[str], mids: list[str]) -> None:
    if len(set(mids)) != len(mids):
        raise SdpInvalid(reason="mid")
    bundles = [value.split()[1:] for value in _values(session, "group") if value.split()[:1] == ["BUNDLE"]]
    whole = len(bundles) == 1 and sorted(bundles[0]) == sorted(mids)
    if not whole and (bundles or len(mids) > 1):
        raise SdpUnsupported(reason="bundle")


Media = Literal["opus", "VP8", "H264/42e01f", "H264/42001f"]  # what is forwarded; H.264 by its profile


def carried(section: MediaSection) -> list[Media]:
    """What of the section can be forwarded, best first: VP8 before H.264."""
    found: set[Media] = set()
    for codec in section.codecs:
        name = codec.name.upper()
        if section.kind == "audio" and name == "OPUS" and codec.clock_hz == 48_000:
            found.add("opus")
        if section.kind == "video" and codec.clock_hz == 90_000:
            if name == "VP8":
                found.add("VP8")
            elif name == "H264" and "packetization-mode=1" in codec.parameters:
                profile = re.search(r"profile-level-id=(42e0|4200)", codec.parameters.lower())
                if profile is not None:
                    found.add("H264/42e01f" if profile[1] == "42e0" else "H264/42001f")
    order: tuple[Media, ...] = ("opus", "VP8", "H264/42e01f", "H264/42001f")
    return [media for media in order if media in found]
