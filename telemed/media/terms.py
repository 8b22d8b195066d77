"""What the server and the relay agree on for one leg: checked values, never SDP. Pure.

The server reads :class:`Terms` out of an offer; the engine gives its :class:`Ground` for them; both make the answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind that is carried, as offer and answer agreed.

    ``kind`` is ``audio`` or ``video``, ``codec`` is ``opus``, ``VP8`` or ``H264``; ``rtx_payload_type`` is RFC 4588's.
    ``nack``, ``remb`` and ``twcc`` are the feedback both sides know; ``extensions`` maps a short name of
    :data:`telemed.media.relay.extensions.EXTENSIONS` to the header extension's id, 1 to 14; ``rids`` are the layers
    (RFC 8853) best first, empty without simulcast. Layers without names are told by ``ssrcs``, best first: each one's
    and that of its repeated packets.
    """

    kind: str
    mid: str
    codec: str
    payload_type: int
    clock_hz: int
    rtx_payload_type: int | None
    nack: bool
    remb: bool
    twcc: bool
    extensions: dict[str, int]
    rids: tuple[str, ...]
    ssrcs: tuple[tuple[int, int | None], ...] = ()

    @property
    def layers(self) -> int:
        """In how many sizes it comes."""
        return len(self.rids) or len(self.ssrcs) or 1


@dataclass(frozen=True, slots=True)
class Terms:
    """The peer's side of a leg: its ICE credentials, its certificate's ``fingerprints`` as (hash, digest), any of
    which may match; ``active`` when we begin the DTLS handshake; what is carried."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    active: bool
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leg belongs among others: a ``room``, and ``who`` it is of there, both names that mean nothing here.

    ``slot``: the leg plays whoever the room's speakers put into this slot, never what ``who`` publishes.
    """

    room: str
    who: str
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Our side of a leg: ICE credentials, the certificate's fingerprint (``sha-256 AA:…``), the values of the
    a=candidate lines, the SSRC and RTX SSRC under which a kind is sent to a viewer, and the CNAME."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: tuple[str, ...]
    ssrcs: dict[str, tuple[int, int | None]]
    cname: str
