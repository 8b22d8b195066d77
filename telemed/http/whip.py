"""What RFC 9725 (WHIP) and draft-ietf-wish-whep say of HTTP itself: methods, headers, conditions. Nothing of rooms.

``discover`` and ``look`` answer whoever asks, ``answered`` and ``changed`` render what the media plane made.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from telemed.http.errors import response_of
from telemed.http.route import raw_body
from telemed.media.backend import MediaError, MediaTypeUnsupported, Resource, Restarted, SdpInvalid

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"  # RFC 8840 section 9.1
PREFLIGHT_SECONDS = 600  # that a browser may remember the answer to OPTIONS
PATHS = ("/whip/", "/whep/")
# What another origin's page may read of an answer beside the headers that any page may (Fetch, section 3.3.3).
EXPOSED = "Location, Link, ETag, Accept-Patch, Retry-After"
ANY_TAG = ("*", '"*"')  # RFC 9110 section 13.1.1; the second as RFC 9725's own example writes it


async def cross_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Let any origin ask and read, refusals too: a request of another origin carries no cookie here, only a key."""
    if not request.path.startswith(PATHS):
        return
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if response.status == 401:  # RFC 9110 section 15.5.2, RFC 6750 section 3
        response.headers["WWW-Authenticate"] = 'Bearer realm="telemed"'


async def discover(request: web.Request) -> web.StreamResponse:
    """OPTIONS: what can be posted here, and the preflight of a browser."""
    resource = "resource" in request.match_info
    return web.Response(
        headers={
            "Access-Control-Allow-Methods": "GET, PATCH, DELETE, OPTIONS" if resource else "GET, HEAD, POST, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            **({"Accept-Patch": FRAGMENT} if resource else {"Accept-Post": SDP}),
        }
    )


async def look(request: web.Request) -> web.StreamResponse:
    """GET: a success without content, for there is no representation; says nothing of what is here."""
    return web.Response(status=204)


async def head(request: web.Request) -> web.StreamResponse:
    """HEAD: this is an endpoint for session descriptions; says nothing of what can be played."""
    return web.Response(headers={"Accept-Post": SDP}, content_type=SDP)


async def sdp(request: web.Request, content_type: str) -> str:
    """The body's text. Raises ``MediaTypeUnsupported`` and ``SdpInvalid``."""
    if request.content_type != content_type:
        raise MediaTypeUnsupported(expected=content_type)
    try:
        return (await raw_body(request, content_type)).decode("utf-8")
    except UnicodeDecodeError:
        raise SdpInvalid(reason="encoding") from None


def condition(request: web.Request) -> str | None:
    """If-Match: None without it, ``*`` for any ICE session, else the tag as sent."""
    found = request.headers.getall("If-Match", [])
    if not found:
        return None
    tag = ", ".join(found).strip()
    return "*" if tag in ANY_TAG else tag


def answered(made: Resource, location: str, extra: Mapping[str, str], links: tuple[str, ...] = ()) -> web.Response:
    """201 with the answer of the media plane; ``links`` are values of Link headers (RFC 9725 section 4.6)."""
    headers = {"Location": location, "ETag": made.etag, **extra}
    answer = web.Response(status=201, body=made.answer_sdp.encode(), content_type=SDP, headers=headers)
    for link in links:
        answer.headers.add("Link", link)
    return answer


def changed(restarted: Restarted | None) -> web.Response:
    """What a PATCH did: 204 for candidates taken, without an ETag; 200 with the new ICE session after a restart."""
    if restarted is None:
        return web.Response(status=204)
    return web.Response(
        status=200, body=restarted.sdpfrag.encode(), content_type=FRAGMENT, headers={"ETag": restarted.etag}
    )


def refused(error: MediaError) -> web.Response:
    """The refusal with its Retry-After; without one it goes on to the middleware."""
    if error.retry_after_s is None:
        raise error
    answer = response_of(error)
    answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer
