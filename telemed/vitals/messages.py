"""The text messages of both sockets, as protocol sections 4 and 5 have them. What a peer sends is checked here."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from telemed.errors import TelemedError
from telemed.vitals.clock import STAMP_MAX
from telemed.vitals.faults import MessageInvalid, ProtocolTooOld

PROTOCOL = 1
OLDEST = 1
TEXT_BYTES = 65_536  # an announce of 32 channels is about 3 KiB
CHANNELS_MAX = 32  # protocol section 2
STREAM_NUMBER_MAX = 2**32 - 1
SEQ_MAX = 2**40  # at 1,000 chunks a second an epoch of 34 years
SAMPLE_MAX = 2**53 - 1  # what a page's numbers hold exactly

WAVE_KINDS = frozenset({"ecg", "pleth", "respiration"})
FORMATS_NUMERIC = frozenset({"gatt:2a37", "gatt:2a35", "gatt:2a1c", "gatt:2a5f"})

Stamp = Annotated[int, Field(gt=-STAMP_MAX, lt=STAMP_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Unit = Annotated[str, Field(max_length=20, pattern=r"^[^\x00-\x1f\x7f]*$")]
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
    """What waits in the station's spool."""

    chunks: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]
    bytes: Annotated[int, Field(ge=0, le=SAMPLE_MAX)]


class Call(Message):
    """The station's end of the call."""

    state: Literal["idle", "connecting", "connected"]
    frames_decoded: Annotated[int, Field(ge=0, le=SAMPLE_MAX)] = 0
    audio_dbfs: Finite | None = None
    dominant_hz: Finite | None = None


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


FromStation = Annotated[Hello | Announce | ClockAnswer | Status, Field(discriminator="type")]
FromPage = Annotated[Hello | Watch | Unwatch | ClockAnswer, Field(discriminator="type")]
FROM_STATION: TypeAdapter[Hello | Announce | ClockAnswer | Status] = TypeAdapter(FromStation)
FROM_PAGE: TypeAdapter[Hello | Watch | Unwatch | ClockAnswer] = TypeAdapter(FromPage)

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


def refused(code: str, params: dict[str, str | int], stream: int | None = None, seq: int | None = None) -> str:
    """The ``error`` message of a code."""
    message: dict[str, Any] = {"type": "error", "error": {"code": code, "params": params}}
    if stream is not None:
        message["stream"] = stream
    if seq is not None:
        message["seq"] = seq
    return json.dumps(message)
