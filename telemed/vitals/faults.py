"""What a station or a page sent and is refused for; each is told to the peer by its stable code."""

from __future__ import annotations

from telemed.errors import TelemedError


class SocketRefusal(TelemedError):
    """A socket's message is refused."""

    code = "message_invalid"
    status = 400


class MessageInvalid(SocketRefusal):
    """The text message is not a documented one; ``field`` names what is wrong."""

    code = "message_invalid"


class HelloExpected(SocketRefusal):
    """The first message must be ``hello`` and must come within five seconds."""

    code = "hello_expected"


class ProtocolTooOld(SocketRefusal):
    """The peer speaks no version of the protocol that this server accepts."""

    code = "protocol_too_old"


class NewerConnection(SocketRefusal):
    """Another connection with the same station key took over."""

    code = "newer_connection"
    status = 409


class KeyRevoked(SocketRefusal):
    """The station's key was revoked."""

    code = "key_revoked"
    status = 401


class TooSlow(SocketRefusal):
    """The peer did not take what it was sent in time."""

    code = "too_slow"


class StreamUnknown(SocketRefusal):
    """The stream was not announced on this connection, or may not be seen here."""

    code = "stream_unknown"


class AnnounceDiffers(SocketRefusal):
    """A stream of this identity or number was announced before with other properties."""

    code = "announce_differs"
    status = 409


class AttachmentRefused(SocketRefusal):
    """The attachment is not one of this station's."""

    code = "attachment_refused"
    status = 403


class ClockUnknown(SocketRefusal):
    """The station has answered no clock question yet: its stamps are no times."""

    code = "clock_unknown"
    status = 409


class ProvisionalFull(SocketRefusal):
    """More people than are taken at a time; the station sends this one again."""

    code = "provisional_full"
    status = 429


class TooManyHoles(SocketRefusal):
    """The chunk would leave more holes in the stream's numbering than are kept."""

    code = "too_many_holes"


class ChunkDiffers(SocketRefusal):
    """Another chunk with this stream and number was stored before."""

    code = "chunk_differs"
    status = 409


class NotStored(SocketRefusal):
    """The chunk could not be stored this time; it is not acknowledged and may be sent again."""

    code = "not_stored"
    status = 500


class FrameFormat(SocketRefusal):
    """The envelope is not the one of the stream's announced format."""

    code = "frame_format"


class FrameDisagrees(SocketRefusal):
    """The frame has another number of channels than its stream was announced with."""

    code = "frame_disagrees"


class FrameSequence(SocketRefusal):
    """The chunk's number or first sample is out of bounds or contradicts its neighbours."""

    code = "frame_sequence"


class FrameTime(SocketRefusal):
    """The chunk's stamp lies in the future or before its stream began."""

    code = "frame_time"


class ClockEcho(SocketRefusal):
    """The clock answer echoes no open question."""

    code = "clock_echo"


class ViewUnknown(SocketRefusal):
    """The stream has no such view, or the view is not watched here."""

    code = "view_unknown"


class TooManyViews(SocketRefusal):
    """One socket watches more views than it may."""

    code = "too_many_views"


class WindowTooLarge(SocketRefusal):
    """The requested window is empty, longer than ``hours``, or has more samples than one answer carries."""

    code = "window_too_large"
    status = 400


