"""The page at ``/`` and the files of its build."""

from __future__ import annotations

from aiohttp import web

from telemed.errors import NotFound
from telemed.http import keys
from telemed.http.pages import Page
from telemed.http.route import Route


def _send(page: Page) -> web.Response:
    charset = "utf-8" if page.content_type.startswith(("text/", "application/json")) else None
    return web.Response(
        body=page.content, content_type=page.content_type, charset=charset, headers={"Cache-Control": page.caching}
    )


async def root(request: web.Request) -> web.Response:
    """The application's page."""
    return _send(request.app[keys.PAGES].root)


async def file(request: web.Request) -> web.Response:
    """A file of the build. Raises ``NotFound``."""
    page = request.app[keys.PAGES].files.get(request.match_info["file"])
    if page is None:
        raise NotFound()
    return _send(page)


ROUTES = (
    Route("GET", "/", "page.read", root, "The application's page"),
    Route("HEAD", "/", "page.read", root, "The application's page without its content: messengers look before a link"),
    Route("GET", "/{file:(?!api/|ws/|whip|whep|fhir/).+}", "page.read", file, "A file of the application's page"),
)
