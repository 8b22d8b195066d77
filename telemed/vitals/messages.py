"""The text messages of both sockets, as protocol sections 4 and 5 have them. What a peer sends is checked here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from telemed.consultation.chat import TEXT_LENGTH
from telemed.errors import TelemedError
from telemed.vitals.clock import STAMP_MAX
from telemed.vitals.faults import MessageInvalid, ProtocolTooOld

PROTOCOL = 1
OLDEST = 1
TEXT_BYTES = 65_536  # an announce of 32 channels is about 3 KiB
CHANNELS_MAX = 32  # protocol section 2
STREAM_NUMBER_MAX = 2**32 - 1
SEQ_MAX = 2**40  # at 1,000 chunks a second an epoch of 34 years
PLAYED_MAX = 32  # publications that a station may say it plays; a room has no more
SAMPLE_MAX = 2**53 - 1  # what a page's numbers hold exactly

# Decisions that are made by HTTP alone; a page that sends one over its socket was not made by us.
FORGED = MappingProxyType({
    "admit": "seat.admit", "refuse": "seat.refuse", "remove": "seat.remove", "mute": "consultation_socket.mute",
    "end": "consultation.end", "handover": "consultation.handover", "share": "consultation.share_vitals",
    "vitals": "consultation.share_vitals", "phone": "consultation.phone", "invite": "participant.invite",
})

WAVE_KINDS = frozenset({"ecg", "pleth", "respiration"})

SpoolState = Literal["ok", "nearly_full", "full"]
Stamp = Annotated[int, Field(gt=-STAMP_MAX, lt=STAMP_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Unit = Annotated[str, Field(max_length=20, pattern=r"^[^\x00-\x1f\x7f]*$")]
# What a person said: some sign that is not blank, and no control but tab and the ends of lines.
_SAID = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"
Said = Annotated[str, Field(max_length=TEXT_LENGTH, pattern=rf"^{_SAID}[^\s\x00-\x1f\x7f]{_SAID}$")]
# As HTTP takes a name: one readable line, trimmed, nothing that turns the direction of what stands around it.
PersonName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200,
                           pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+$")
]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Message(BaseModel):
    """A message from a peer; a field that is not documented is ignored, so that newer peers are understood."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Hello(Message):
    """The first message of both sockets."""

    type: Literal["hello"]
    protocol: Annotated[int, Field(ge=1, le=1_000_000)]
    oldest: Annotated[int, Field(ge=1, le=1_000_000)]
    program: Annotated[str, Field(max_length=200)] = ""
    source: UUID
    chat_after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0  # a page's: the newest line that it has
    page: bool = True  # false of staff: a program that only looks; nobody's page gives way, nobody is here by it


class Channel(Message):
    """physical = sample x gain + offset, in ``unit`` (UCUM)."""

    name: Annotated[Name, Field(max_length=40)]
    unit: Unit
    gain: Finite
    offset: Finite


class AnnouncedStream(Message):
    """A stream as its station describes it."""

    number: Annotated[int, Field(ge=0, le=STREAM_NUMBER_MAX)]
    device: Name
    kind: Literal["ecg", "pleth", "respiration", "spo2", "blood_pressure", "temperature", "heart_rate"]
    epoch: UUID
    format: Literal["native", "gatt:2a37", "gatt:2a35", "gatt:2a1c", "gatt:2a5f"]
    origin: Literal["measured", "recording", "simulated"]
    rate: tuple[Annotated[int, Field(ge=1, le=1_000_000)], Annotated[int, Field(ge=1, le=1_000_000)]] | None
    channels: Annotated[tuple[Channel, ...], Field(max_length=CHANNELS_MAX)]
    attachment: UUID | None
    started_us: Stamp
    source: UUID | None = None  # the run that stamped it, where that is not the run that says hello


class Announce(Message):
    """Before the first chunk of a stream on this connection."""

    type: Literal["announce"]
    stream: AnnouncedStream
    live_from: Annotated[int, Field(ge=0, le=SEQ_MAX)]


class ClockAnswer(Message):
    """The answer to ``clock_ask``."""

    type: Literal["clock"]
    echo: int
    stamp_us: Stamp


class Queue(Message):
    """What waits in the station's spool; stations of before say its size alone."""

    chunks: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]
    bytes: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]
    oldest_s: Annotated[float, Field(ge=0, le=1e10)] | None = None  # age of the oldest chunk
    state: SpoolState | None = None
    room_bytes: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] | None = None
    hours_left: Annotated[float, Field(ge=0, le=1e10)] | None = None  # at the present rate, were the line down
    refused: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] = 0  # chunks set aside
    unreadable: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] = 0  # files of before whose key is lost


class Played(Message):
    """One publication that the station plays: whose, and what comes of it."""

    publication: Annotated[str, Field(max_length=100)]
    participant: Annotated[str, Field(max_length=100)]
    by: Annotated[str, Field(max_length=40)]
    source: Annotated[str, Field(max_length=40)]
    state: Literal["idle", "connecting", "connected"]
    frames_decoded: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] = 0
    audio_dbfs: Finite | None = None
    dominant_hz: Finite | None = None


class Call(Message):
    """The station's end of the call."""

    state: Literal["idle", "connecting", "connected"]
    frames_decoded: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] = 0
    audio_dbfs: Finite | None = None
    dominant_hz: Finite | None = None
    people: Annotated[list[Played], Field(max_length=PLAYED_MAX)] = []


class Loop(Message):
    """The replayed loop: samples ``first`` to before ``end`` of the recording."""

    first: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]
    end: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]
    channels: Annotated[int, Field(ge=0, le=CHANNELS_MAX)]


class Status(Message):
    """What the station says about itself every two seconds."""

    type: Literal["status"]
    queue: Queue
    call: Call
    scenario: Annotated[str, Field(max_length=40)] | None = None
    loop: Loop | None = None
    paused: Annotated[list[Literal["camera", "exam"]], Field(max_length=2)] = []
    state: Literal["recording", "spool_full"] = "recording"


class Watch(Message):
    """A page wants a view."""

    type: Literal["watch"]
    stream: Annotated[int, Field(ge=0, le=2**31 - 1)]
    view: Literal["raw", "monitor"]


class Unwatch(Message):
    """A page no longer wants a view."""

    type: Literal["unwatch"]
    view: Annotated[int, Field(ge=0, le=65_535)]


class Say(Message):
    """A page's line of chat; ``line`` is the page's own name for it, the same when it is sent again."""

    type: Literal["say"]
    line: UUID
    text: Said


class PageSays(Message):
    """What a page says of itself: what it sends, and how it finds the line."""

    type: Literal["state"]
    camera: bool
    microphone: bool
    screen: bool
    network: Literal["good", "fair", "poor", "unknown"]


class Mute(Message):
    """A clinician asks somebody's page to switch its microphone off."""

    type: Literal["mute"]
    participant: Annotated[str, Field(min_length=1, max_length=60)]


class Provisional(Message):
    """Somebody who was entered at the station while its line was down; stamps are of the run ``source``."""

    type: Literal["provisional"]
    patient: UUID
    attachment: UUID
    source: UUID
    name: PersonName
    birth_year: Annotated[int, Field(ge=1890, le=2200)] | None
    from_us: Stamp
    to_us: Stamp | None
    to_source: UUID | None = None  # the run that stamped the end, where that is not ``source``


FromStation = Annotated[Hello | Announce | ClockAnswer | Status | Provisional, Field(discriminator="type")]
FromPage = Annotated[
    Hello | Watch | Unwatch | ClockAnswer | Say | PageSays | Mute, Field(discriminator="type")
]
FROM_STATION: TypeAdapter[Hello | Announce | ClockAnswer | Status | Provisional] = TypeAdapter(FromStation)
FROM_PAGE: TypeAdapter[Hello | Watch | Unwatch | ClockAnswer | Say | PageSays | Mute] = TypeAdapter(FromPage)

T = TypeVar("T")


def parse(adapter: TypeAdapter[T], text: str) -> T:
    """The message of a text. Raises ``MessageInvalid`` naming the first wrong field, never its value."""
    if len(text) > TEXT_BYTES:
        raise MessageInvalid(field="length")
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
        parts = [str(part) for part in place if isinstance(part, int) or (part.isidentifier() and len(part) <= 40)]
        raise MessageInvalid(field=".".join(parts) or "type") from None


def forged(text: str) -> str | None:
    """The action of the policy that a text pretends to order where no such message exists; None: none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = said.get("type") if isinstance(said, dict) else None
    return FORGED.get(kind) if isinstance(kind, str) else None


def check_stream(stream: AnnouncedStream) -> None:
    """Raise ``MessageInvalid`` when format, rate and channels contradict each other."""
    native = stream.format == "native"
    if native != (stream.kind in WAVE_KINDS):
        raise MessageInvalid(field="stream.format")
    if native != (stream.rate is not None):
        raise MessageInvalid(field="stream.rate")
    if native != bool(stream.channels):
        raise MessageInvalid(field="stream.channels")
    if any(channel.gain == 0.0 for channel in stream.channels):
        raise MessageInvalid(field="stream.channels")


def agree(hello: Hello) -> int:
    """The version both speak. Raises ``ProtocolTooOld``."""
    version = min(hello.protocol, PROTOCOL)
    if version < max(hello.oldest, OLDEST):
        raise ProtocolTooOld(oldest=OLDEST, newest=PROTOCOL)
    return version


def refusal(error: TelemedError, stream: int | None = None, seq: int | None = None) -> str:
    """The ``error`` message of a refusal."""
    return refused(error.code, error.params, stream, seq)


def refused(
    code: str, params: dict[str, str | int], stream: int | None = None, seq: int | None = None,
    line: UUID | None = None, attachment: UUID | None = None,
) -> str:
    """The ``error`` message of a code."""
    message: dict[str, Any] = {"type": "error", "error": {"code": code, "params": params}}
    if stream is not None:
        message["stream"] = stream
    if seq is not None:
        message["seq"] = seq
    if line is not None:
        message["line"] = str(line)
    if attachment is not None:
        message["attachment"] = str(attachment)
    return json.dumps(message)


def acknowledgement(kind: str, number: int, through: int | None, ranges: Sequence[tuple[int, int]]) -> str:
    """The ``ack`` or ``announced`` message (``kind``) of a stream: what of it is durable."""
    told = [list(one) for one in ranges] if ranges else "[]"
    run = "null" if through is None else through
    return f'{{"type": "{kind}", "number": {number}, "through": {run}, "ranges": {told}}}'


def number_of(text: str) -> int | None:
    """The stream's number in a refused announce, so that the station knows which."""
    try:
        number = json.loads(text)["stream"]["number"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return number if isinstance(number, int) and 0 <= number < 2**32 else None


def attachment_of(text: str) -> UUID | None:
    """The attachment in a refused ``provisional``, so that the station knows which."""
    try:
        said = json.loads(text)
        return UUID(said["attachment"]) if said["type"] == "provisional" else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
