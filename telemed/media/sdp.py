"""The grammar of a description, line by line, with its bounds: whatever comes, it is lines of these or a refusal. Pure.

RFC 8866 (SDP), RFC 8839 (ICE attributes), RFC 8122 (fingerprints), RFC 8842 (DTLS roles).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from telemed.media.backend import SDP_BYTES, SdpInvalid, SdpUnsupported

LINES = 2_000  # of one description; the longest legitimate one measured has 170
CANDIDATES = 32  # kept of one description or fragment; a host with eight addresses offers sixteen
FINGERPRINTS = 8  # of one certificate in one description: each hash there is, and one certificate to spare
# RFC 8122 section 5 without the broken ones, and how many bytes a digest of each has.
HASHES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
SETUPS = ("actpass", "active", "passive")  # RFC 4145 section 4 without holdconn, as RFC 8842 section 5.1 says

TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,64}")  # RFC 8866 section 9, "token"
UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
# ASCII alone: other parsers split lines at characters that only look like spaces.
_LINE = re.compile(r"[a-z]=[\t\x20-\x7e]*")
_DIGEST = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){19,63}")
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} 1 (\S+) [0-9]{1,10} (\S+) ([0-9]{1,5}) typ (host|srflx|prflx|relay)( .*)?"
)


@dataclass(frozen=True, slots=True)
class Transport:
    """How the peer is reached and known: ``fingerprints`` are (hash, digest), hash lower and digest upper case."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    setup: str


def lines_of(text: str) -> list[str]:
    """The lines, without their ends. Raises ``SdpInvalid`` for too many, too long, or none of SDP's."""
    if len(text) > SDP_BYTES:
        raise SdpInvalid(reason="size")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > LINES:
        raise SdpInvalid(reason="size")
    if any(_LINE.fullmatch(line) is None for line in lines):
        raise SdpInvalid(reason="line")
    return lines


def grouped(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The session's lines, and those of each media section, its m= line first."""
    session: list[str] = []
    groups: list[list[str]] = []
    for line in lines:
        if line.startswith("m="):
            groups.append([line])
        else:
            (groups[-1] if groups else session).append(line)
    return session, groups


def values(lines: list[str], name: str) -> list[str]:
    """The values of all a=name: lines."""
    prefix = f"a={name}:"
    return [line.removeprefix(prefix).strip() for line in lines if line.startswith(prefix)]


def required(session: list[str], group: list[str], name: str, pattern: re.Pattern[str]) -> str:
    """The attribute's value in the section, else in the session. Raises ``SdpInvalid`` when absent or malformed."""
    found = values(group, name) or values(session, name)
    if not found or any(pattern.fullmatch(value) is None for value in found):
        raise SdpInvalid(reason=name)
    return found[-1]


def transport(session: list[str], group: list[str]) -> Transport:
    """The transport of a section. Raises ``SdpInvalid`` and, without rtcp-mux, ``SdpUnsupported``."""
    if "a=rtcp-mux" not in group:
        raise SdpUnsupported(reason="rtcp-mux")
    ufrag = required(session, group, "ice-ufrag", UFRAG)
    password = required(session, group, "ice-pwd", PASSWORD)
    setup = required(session, group, "setup", TOKEN)
    if setup not in SETUPS:
        raise SdpInvalid(reason="setup")
    prints = _fingerprints(values(session, "fingerprint"))
    prints = _fingerprints(values(group, "fingerprint")) or prints  # RFC 8122 section 5: the section's prevail
    if not prints:
        raise SdpInvalid(reason="fingerprint")
    return Transport(ufrag, password, prints, setup)


def usable(lines: list[str]) -> list[str]:
    """The lines without the candidates that cannot be used or are too many, and without end-of-candidates."""
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


def _fingerprints(found: list[str]) -> tuple[tuple[str, str], ...]:
    if len(found) > FINGERPRINTS:
        raise SdpInvalid(reason="fingerprint")
    prints = []
    for value in found:
        parts = value.split()
        if len(parts) != 2 or _DIGEST.fullmatch(parts[1]) is None:
            raise SdpInvalid(reason="fingerprint")
        name, digest = parts[0].lower(), parts[1].upper()
        if name not in HASHES:
            continue  # sha-1 beside a good one is no fault
        if digest.count(":") + 1 != HASHES[name]:
            raise SdpInvalid(reason="fingerprint")
        prints.append((name, digest))
    return tuple(prints)
