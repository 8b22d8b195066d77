"""Sends one e-mail through the hospital's own mail server: once, within a bound, or says why not.

The address is used for this and nothing else: it is not stored, logged, or part of any error here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from pathlib import Path
from typing import Self

import aiosmtplib

from telemed.errors import TelemedError
from telemed.settings import Settings

MAIL_SECONDS = 20.0  # for the whole conversation: somebody waits in front of the page
AT_ONCE = 4  # conversations with the mail server; whoever is fifth waits, within the same bound
PASSWORD_BYTES = 1024  # longest password file
# Lines of 7-bit text alone: any server takes them, whatever it says of 8BITMIME.
POLICY = MAIL_POLICY.clone(cte_type="7bit")


class MailFault(TelemedError):
    """The e-mail was not sent; the invitation itself is valid and can be copied or printed."""

    code = "mail_failed"
    status = 502


class MailNotConfigured(MailFault):
    """This installation has no mail server."""

    code = "mail_not_configured"
    status = 409


class MailRefused(MailFault):
    """The mail server refuses the address or the message; ``reply`` is its number."""

    code = "mail_refused"


class MailLoginRefused(MailFault):
    """The mail server refuses this installation's login."""

    code = "mail_login_refused"


class MailUntrusted(MailFault):
    """The mail server cannot prove that it is the one configured, or offers no encryption."""

    code = "mail_untrusted"


class MailUnreachable(MailFault):
    """The mail server does not answer, or stopped answering before it took the message."""

    code = "mail_unreachable"


class MailSettingsUnusable(TelemedError):
    """The file that ``name`` names cannot be used: the mail server's password or its authority's certificates."""

    code = "mail_settings_unusable"
    status = 500


@dataclass(frozen=True, slots=True)
class _Server:
    """The mail server as configured."""

    host: str
    port: int
    security: str
    sender: str
    login: tuple[str, str] | None
    tls: ssl.SSLContext | None
    greeting: str  # what it is greeted with (EHLO)


class Post:
    """The way to the mail server, where there is one."""

    def __init__(self, server: _Server | None) -> None:
        self._server = server
        self._free = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Read the password and the certificates once. Raises ``MailSettingsUnusable``."""
        if settings.smtp_host is None or settings.smtp_from is None:
            return cls(None)
        login = None
        if settings.smtp_user is not None and settings.smtp_password_file is not None:
            login = settings.smtp_user, _password(settings.smtp_password_file)
        tls = None if settings.smtp_security == "none" else _tls(settings.smtp_ca_file)
        return cls(_Server(
            settings.smtp_host, settings.smtp_port_number, settings.smtp_security, settings.smtp_from, login, tls,
            socket.gethostname(),
        ))

    @property
    def sender(self) -> str | None:
        """The address that e-mails come from; None where there is no mail server."""
        return None if self._server is None else self._server.sender

    async def send(self, message: EmailMessage, to: str) -> None:
        """Send the message to one address (``settings.is_mail_address``), in one try of ``MAIL_SECONDS``.

        Raises ``MailNotConfigured``, ``MailRefused``, ``MailLoginRefused``, ``MailUntrusted``, ``MailUnreachable``.
        When the line drops between the message and the server's word on it, it may have been taken.
        """
        server = self._server
        if server is None:
            raise MailNotConfigured()
        try:
            async with asyncio.timeout(MAIL_SECONDS), self._free, _conversation(server) as client:
                await client.sendmail(server.sender, [to], message.as_bytes(policy=POLICY))
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            raise _refusal(error) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # ssl.SSLError is an OSError, and aiosmtplib keeps it as the cause of its own.
            raise (MailUntrusted() if _is_tls(error) else MailUnreachable()) from None


@asynccontextmanager
async def _conversation(server: _Server) -> AsyncIterator[aiosmtplib.SMTP]:
    client = aiosmtplib.SMTP(
        hostname=server.host, port=server.port, timeout=MAIL_SECONDS, local_hostname=server.greeting,
        use_tls=server.security == "tls", start_tls=server.security == "starttls", tls_context=server.tls,
    )
    try:
        await client.connect()
        if server.login is not None:
            await client.login(*server.login)
        yield client
    finally:
        client.close()  # the message was taken or not by now; nobody waits for a good-bye


def _refusal(error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPResponseException) -> MailFault:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return MailLoginRefused()
    first = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    # RFC 5321 4.2.1: 421 says that the server is closing; any other number is its word on the message.
    return MailUnreachable() if first.code == 421 or first.code < 400 else MailRefused(reply=first.code)


def _is_tls(error: BaseException | None) -> bool:
    """Whether TLS is why: the certificate is not trusted, or none was offered where it must be."""
    while error is not None:
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return False  # the line dropped
        if isinstance(error, ssl.SSLError) or "STARTTLS extension" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _password(file: Path) -> str:
    try:
        with file.open("rb") as content:
            text = content.read(PASSWORD_BYTES + 1)
        if len(text) > PASSWORD_BYTES or not text.strip(b"\r\n"):
            raise ValueError
        return text.decode().rstrip("\r\n")
    except (OSError, ValueError):
        raise MailSettingsUnusable(name="TELEMED_SMTP_PASSWORD_FILE", path=str(file)) from None


def _tls(authority: Path | None) -> ssl.SSLContext:
    """TLS 1.2 at least, the server's name checked, trusting this file of certificates or the system's."""
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, ssl.SSLError):
        raise MailSettingsUnusable(name="TELEMED_SMTP_CA_FILE", path=str(authority)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
