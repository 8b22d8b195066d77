"""Every refusal has a stable code, and its sentence lives in the catalogues.

The wire carries ``{"error": {"code": ..., "params": {...}}}``; pages, PDF and CLI turn the code into the
sentence ``error.<code>`` of ``telemed_web/catalogues/*.json``. One tree: everything the server refuses on
purpose is a :class:`TelemedError`; anything else is a bug and answers ``internal_error``.
"""

from __future__ import annotations

from typing import ClassVar


class TelemedError(Exception):
    """Telemed refused a request for a named reason.

    ``code`` is stable and machine-readable; ``status`` is the HTTP status it maps to; ``params`` fill the
    sentence and never hold a patient's name or a sample.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, **params: str | int) -> None:
        super().__init__(self.code)
        self.params: dict[str, str | int] = dict(params)
        # What the policy refused, until the audit has it (identity.policy.record_denial).
        self.denial: object | None = None


class NotSignedIn(TelemedError):
    """The request carries no valid sign-in or key."""

    code = "not_signed_in"
    status = 401


class Forbidden(TelemedError):
    """The policy does not grant this actor the action on this object."""

    code = "forbidden"
    status = 403


class NotFound(TelemedError):
    """There is no such object, or the actor may not know of it."""

    code = "not_found"
    status = 404


class InvalidRequest(TelemedError):
    """The request does not have the documented shape; ``field`` names what is wrong."""

    code = "invalid_request"
    status = 400


class Conflict(TelemedError):
    """The object is in a state that does not allow this."""

    code = "conflict"
    status = 409


class DatabaseUnavailable(TelemedError):
    """The database does not answer; nothing was lost, try again in a moment."""

    code = "database_unavailable"
    status = 503


class KeyDestroyed(TelemedError):
    """The patient's key was destroyed; what it sealed cannot be read by anyone."""

    code = "key_destroyed"
    status = 410


class CrossSite(TelemedError):
    """A page of another site asked for this in the signed-in person's name."""

    code = "cross_site"
    status = 403


class HttpsRequired(TelemedError):
    """Passwords are not taken over plain HTTP from another machine."""

    code = "https_required"
    status = 403


class BodyTooLarge(TelemedError):
    """The request's body is larger than this path takes."""

    code = "body_too_large"
    status = 413


class MethodNotAllowed(TelemedError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    status = 405


class BadCredentials(TelemedError):
    """There is no such login with such a password, or the account is disabled."""

    code = "bad_credentials"
    status = 401


class StateRefused(TelemedError):
    """The consultation's state does not allow this; ``state`` is the state it is in."""

    code = "state_refused"
    status = 409


class StationBusy(TelemedError):
    """Another consultation is live at this station."""

    code = "station_busy"
    status = 409
