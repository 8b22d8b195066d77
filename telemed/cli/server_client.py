"""The server as seen by a signed-in person's program: JSON over its own HTTP interface, signing in again by itself."""

from __future__ import annotations

from typing import Any

import aiohttp

from telemed.errors import TelemedError

ANSWER_SECONDS = 15.0  # bound of one request


class ServerUnreachable(Exception):
    """The server does not answer now; it may again in a moment."""


class Refused(TelemedError):
    """The server refused a request; ``refusal`` is the code it gave."""

    code = "demo_refused"

    @property
    def refusal(self) -> str:
        """The server's own code."""
        return str(self.params.get("refusal", ""))


class ServerClient:
    """One account's requests to one server. Use as ``async with``."""

    def __init__(self, address: str, login: str, password: str) -> None:
        self._address = address
        self._credentials = {"login": login, "password": password}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ServerClient:
        # The server is on loopback, an address without a name: aiohttp's jar drops such cookies unless told.
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def sign_in(self) -> None:
        """Sign in. Raises ``Refused`` (``bad_credentials``), ``ServerUnreachable``."""
        await self._once("POST", "/api/v1/sign-in", self._credentials)

    async def get(self, path: str) -> Any:
        """The JSON answer of a GET. Raises ``Refused``, ``ServerUnreachable``."""
        return await self._call("GET", path, None)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer of a POST, None when it has no body. Raises ``Refused``, ``ServerUnreachable``."""
        return await self._call("POST", path, body)

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer of a PATCH. Raises ``Refused``, ``ServerUnreachable``."""
        return await self._call("PATCH", path, body)

    async def delete(self, path: str) -> Any:
        """The JSON answer of a DELETE, None when it has no body. Raises ``Refused``, ``ServerUnreachable``."""
        return await self._call("DELETE", path, None)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            return await self._once(method, path, body)
        except Refused as refused:
            if refused.refusal != "not_signed_in":
                raise
        await self.sign_in()
        return await self._once(method, path, body)

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if self._session is None:
            raise RuntimeError("used outside its context")
        try:
            async with self._session.request(
                method, f"{self._address}{path}", json=body, headers={"Origin": self._address}
            ) as answer:
                if answer.status >= 500:
                    raise ServerUnreachable(f"{path}: {answer.status}")
                content = await answer.json() if answer.content_length != 0 and answer.status != 204 else None
                if answer.status >= 400:
                    code = str((content or {}).get("error", {}).get("code", answer.status))
                    raise Refused(path=path, refusal=code)
                return content
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerUnreachable(f"{path}: {type(error).__name__}") from error
