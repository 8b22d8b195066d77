"""ICE as a lite agent: answers the checks of a peer that signs them, makes none itself. Pure. RFC 8445, RFC 8489."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from aioice import stun

UFRAG_BYTES, PASSWORD_BYTES = 4, 16  # random ones, twice as many characters; RFC 8839 section 5.4: at least 4 and 22
STUN_BYTES = 548  # the longest check: RFC 8489 section 6.1 for a path whose limit is not known
ROLE_CONFLICT = (487, "Role Conflict")  # RFC 8445 section 7.3.1.1


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a check is signed with: by our name and password."""

    ufrag: str = field(default_factory=lambda: secrets.token_hex(UFRAG_BYTES))
    password: str = field(default_factory=lambda: secrets.token_hex(PASSWORD_BYTES))


def read_check(data: bytes) -> tuple[stun.Message, str] | None:
    """A binding request and the name that it is for; None for anything else. Its signature is not checked yet."""
    if not stun.HEADER_LENGTH <= len(data) <= STUN_BYTES or data[4:8] != stun.COOKIE.to_bytes(4, "big"):
        return None
    try:
        message = stun.parse_message(data)
    except (ValueError, struct.error, IndexError):  # what unpacking a hostile message raises
        return None
    name = message.attributes.get("USERNAME")
    wrong = message.message_method != stun.Method.BINDING or message.message_class != stun.Class.REQUEST
    return None if wrong or not isinstance(name, str) else (message, name)


def signed(message: stun.Message, name: str, ours: Credentials, theirs: str) -> bool:
    """Whether a check is for us, from this peer, and signed with our password."""
    right = name == f"{ours.ufrag}:{theirs}" and "PRIORITY" in message.attributes
    return right and message.check_message_integrity(ours.password.encode())


def answered(message: stun.Message, ours: Credentials, address: tuple[Any, ...]) -> bytes:
    """The answer to a signed check that came from this address."""
    controlled = "ICE-CONTROLLED" in message.attributes  # RFC 8445 section 6.1.1: against a lite agent it controls
    answer = stun.Message(
        stun.Method.BINDING, stun.Class.ERROR if controlled else stun.Class.RESPONSE, message.transaction_id
    )
    if controlled:
        answer.attributes["ERROR-CODE"] = ROLE_CONFLICT
    else:
        answer.attributes["XOR-MAPPED-ADDRESS"] = address[:2]
    answer.add_message_integrity(ours.password.encode())
    return bytes(answer)


def nominates(message: stun.Message) -> bool:
    """Whether the peer wants its media to pass where this check came from."""
    return "USE-CANDIDATE" in message.attributes


def candidate(number: int, address: str, port: int) -> str:
    """The value of an a=candidate line (RFC 8839 section 5.1); the first number is preferred."""
    priority = 126 << 24 | (65_535 - number) << 8 | 255  # RFC 8445 section 5.1.2.1: host, this preference, component 1
    return f"{number + 1} 1 udp {priority} {address} {port} typ host"
