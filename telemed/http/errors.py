"""Every refusal becomes ``{"error": {"code", "params"}}``; what is not a refusal is logged without its data."""

from __future__ import annotations

import json
import traceback

import structlog
from aiohttp import web

from telemed.errors import BodyTooLarge, InvalidRequest, MethodNotAllowed, NotFound, TelemedError
from telemed.metrics import ERRORS

LOG = structlog.get_logger("telemed.http")
RETRY_SECONDS = 1  # after database_unavailable: a restart of the embedded PostgreSQL takes 0.4 s
FRAMES_LOGGED = 12  # innermost frames of an unexpected exception


def response_of(error: TelemedError) -> web.Response:
    """The refusal as an answer, counted under its code."""
    ERRORS.labels(error.code).inc()
    answer = web.Response(
        body=json.dumps({"error": {"code": error.code, "params": error.params}}).encode(),
        status=error.status,
        content_type="application/json",
    )
    if error.status == 503:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    elif error.status == 429:
        answer.headers["Retry-After"] = str(error.params.get("seconds", RETRY_SECONDS))
    elif error.status == 405 and "allow" in error.params:
        answer.headers["Allow"] = str(error.params["allow"])
    return answer


def refusal_of(error: web.HTTPException) -> TelemedError:
    """aiohttp's own refusal as one of ours."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(allow=", ".join(sorted(error.allowed_methods)))
    if error.status == 413:
        return BodyTooLarge()
    if error.status == 404:
        return NotFound()
    return InvalidRequest(field="request")


def log_unexpected(error: BaseException, request_id: str, action: str) -> None:
    """Log type and places of an exception, never its message or a value: those may hold patient data."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED:]
    LOG.error(
        "internal_error",
        request_id=request_id,
        action=action,
        exception=type(error).__name__,
        places=[f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames],
    )
