"""Invitations by e-mail, through a real SMTP server on loopback: what arrives, and what is said when it does not."""

from __future__ import annotations

import asyncio
import email
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from icalendar import Calendar
from pydantic import ValidationError
from structlog.testing import capture_logs

from telemed.consultation import post
from telemed.consultation.post import Post
from telemed.settings import Settings, is_mail_address

SENDER, SOMEBODY = "visits@hospital.example", "somebody@example.org"
PASSWORD = "smtp password 1"


@dataclass
class Box:
    """A mail server's hands: keeps what it is given, as ``refuse`` and ``drop`` allow."""

    refuse: str = ""
    drop: bool = False
    kept: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.drop:
            server.transport.abort()
            return "250 never said"
        self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None)
        self.kept.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


def certificate(folder: Path, name: str, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """A self-made certificate for this address and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    return files


def context(files: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


@asynccontextmanager
async def listening(factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def plain(box: Box, **options: Any) -> Callable[[], asyncio.Protocol]:
    return lambda: SMTP(box, hostname="mail.example", **options)


def post_of(tmp_path: Path, port: int, **more: Any) -> Post:
    return Post.load(Settings(
        home=tmp_path, database_url=None, smtp_host="127.0.0.1", smtp_port=port, smtp_from=SENDER,
        **{"smtp_security": "none", **more},
    ))


def letter() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, SOMEBODY, "Покана"
    message.set_content("Здравейте\n.\nточка\n")
    return message


async def test_it_arrives_encrypted_after_a_login(tmp_path: Path) -> None:
    box, files = Box(), certificate(tmp_path, "mail")
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    login = {"smtp_user": "telemed", "smtp_password_file": password, "smtp_ca_file": files[0]}
    tls = context(files)
    starttls = plain(box, tls_context=tls, require_starttls=True, authenticator=box.login, auth_required=True)
    async with listening(starttls) as port:
        await post_of(tmp_path, port, smtp_security="starttls", **login).send(letter(), SOMEBODY)
    implicit = plain(box, authenticator=box.login, auth_require_tls=False)
    async with listening(implicit, tls) as port:
        await post_of(tmp_path, port, smtp_security="tls", **login).send(letter(), SOMEBODY)
    async with listening(plain(box)) as port:
        await post_of(tmp_path, port).send(letter(), SOMEBODY)
    assert box.encrypted == [True, True, False]
    assert box.logins == [(b"telemed", PASSWORD.encode())] * 2
    for sender, to, content in box.kept:
        assert (sender, to) == (SENDER, [SOMEBODY])
        assert content.isascii()
        arrived = email.message_from_bytes(content, policy=policy.default)
        assert arrived["Subject"] == "Покана"
        assert arrived.get_content().replace("\r\n", "\n") == "Здравейте\n.\nточка\n"


async def refused(sending: Any) -> str:
    with pytest.raises(post.MailFault) as caught:
        await sending
    assert SOMEBODY not in f"{caught.value!r} {caught.value.params} {caught.value.__cause__!r}"
    return str(caught.value.code)


async def test_a_refused_address_is_said_so_and_nothing_is_tried_again(tmp_path: Path) -> None:
    for reply in ("550 no such mailbox", "450 later", "530 no"):
        box = Box(refuse=reply)
        async with listening(plain(box)) as port:
            assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) == "mail_refused"
        assert box.kept == []
    box = Box(refuse="421 closing")
    async with listening(plain(box)) as port:
        assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) == "mail_unreachable"


async def test_a_wrong_password_is_told_apart(tmp_path: Path) -> None:
    box, files = Box(), certificate(tmp_path, "mail")
    password = tmp_path / "password"
    password.write_text("wrong")
    login = {"smtp_user": "telemed", "smtp_password_file": password, "smtp_ca_file": files[0]}
    asks = plain(box, tls_context=context(files), authenticator=box.login, auth_required=True)
    async with listening(asks) as port:
        sending = post_of(tmp_path, port, smtp_security="starttls", **login).send(letter(), SOMEBODY)
        assert await refused(sending) == "mail_login_refused"
    assert box.kept == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_that_cannot_prove_itself_gets_no_letter(tmp_path: Path, security: str) -> None:
    box = Box()
    ours, another = certificate(tmp_path, "mail"), certificate(tmp_path, "another")
    elsewhere = certificate(tmp_path, "elsewhere", "127.0.0.2")
    for shown, trusted in ((another, ours[0]), (elsewhere, elsewhere[0]), (ours, None)):
        tls = context(shown)
        started = plain(box, tls_context=tls) if security == "starttls" else plain(box)
        async with listening(started, tls if security == "tls" else None) as port:
            way = post_of(tmp_path, port, smtp_security=security, smtp_ca_file=trusted)
            assert await refused(way.send(letter(), SOMEBODY)) == "mail_untrusted"
    assert box.kept == []


async def test_a_server_without_encryption_gets_no_letter(tmp_path: Path) -> None:
    box, files = Box(), certificate(tmp_path, "mail")
    async with listening(plain(box)) as port:
        way = post_of(tmp_path, port, smtp_security="starttls", smtp_ca_file=files[0])
        assert await refused(way.send(letter(), SOMEBODY)) == "mail_untrusted"
    assert box.kept == []


async def test_silence_a_drop_and_a_closed_port_are_unreachable_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(drop=True)
    async with listening(plain(box)) as port:
        assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) == "mail_unreachable"
    assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) == "mail_unreachable"  # closed by now
    monkeypatch.setattr(post, "MAIL_SECONDS", 0.2)
    async with listening(asyncio.Protocol) as port:
        assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) == "mail_unreachable"
        way = post_of(tmp_path, port)
        codes = await asyncio.gather(*(refused(way.send(letter(), SOMEBODY)) for _ in range(post.AT_ONCE * 2)))
    assert set(codes) == {"mail_unreachable"}


async def test_what_a_server_babbles_is_bounded_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Babble(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"\x00\xff" * 100_000 + b"\r\n")

    monkeypatch.setattr(post, "MAIL_SECONDS", 1.0)
    async with listening(Babble) as port:
        assert await refused(post_of(tmp_path, port).send(letter(), SOMEBODY)) in ("mail_unreachable", "mail_refused")


@pytest.mark.parametrize(("options", "field_"), [
    ({"smtp_host": "mail.example"}, "smtp_from"),
    ({"smtp_host": "mail.example", "smtp_from": "a@b.example\nBcc: x@y.example"}, "smtp_from"),
    ({"smtp_host": "", "smtp_from": SENDER}, "smtp_host"),
    ({"smtp_host": "mail.example", "smtp_from": SENDER, "smtp_security": "ssl"}, "smtp_security"),
    ({"smtp_host": "mail.example", "smtp_from": SENDER, "smtp_port": 0}, "smtp_port"),
    ({"smtp_host": "mail.example", "smtp_from": SENDER, "smtp_user": "x"}, "smtp_password_file"),
    ({"smtp_host": "mail.example", "smtp_from": SENDER, "smtp_user": "x", "smtp_password_file": "p",
      "smtp_security": "none"}, "smtp_user"),
    ({"public_url": "http://visits.example.org"}, "public_url"), ({"public_url": "visits.example.org"}, "public_url"),
    ({"public_url": "https://visits.example.org/#/x"}, "public_url"), ({"public_url": "https://"}, "public_url"),
    ({"public_url": "https://a:b@visits.example.org"}, "public_url"),
    ({"public_url": "https://visits.example.org\r\nX"}, "public_url"),
    ({"public_url": "https://[half"}, "public_url"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(options: dict[str, Any], field_: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(home=tmp_path, database_url=None, **options)
    assert caught.value.errors()[0]["loc"] == (field_,)


def test_settings_that_can_be(tmp_path: Path) -> None:
    def made(**options: Any) -> Settings:
        return Settings(home=tmp_path, database_url=None, **options)

    mail = {"smtp_host": "mail.example", "smtp_from": SENDER}
    assert [made(**mail, smtp_security=one).smtp_port_number for one in ("starttls", "tls", "none")] == [587, 465, 25]
    local = made(**{**mail, "smtp_host": "127.0.0.1"}, smtp_security="none", smtp_user="x", smtp_password_file="p")
    assert local.smtp_user == "x"
    assert made(public_url="https://visits.example.org/telemed/").public_url == "https://visits.example.org/telemed"
    assert made(public_url="http://127.0.0.1:8080").public_url == "http://127.0.0.1:8080"
    assert is_mail_address("first.last+visit@mail-1.example.org")


def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path: Path) -> None:
    empty, rubbish = tmp_path / "empty", tmp_path / "rubbish"
    empty.write_text("\n")
    rubbish.write_text("no certificate")
    for more, name in (
        ({"smtp_user": "x", "smtp_password_file": tmp_path / "none"}, "TELEMED_SMTP_PASSWORD_FILE"),
        ({"smtp_user": "x", "smtp_password_file": empty}, "TELEMED_SMTP_PASSWORD_FILE"),
        ({"smtp_ca_file": tmp_path / "none", "smtp_security": "tls"}, "TELEMED_SMTP_CA_FILE"),
        ({"smtp_ca_file": rubbish, "smtp_security": "tls"}, "TELEMED_SMTP_CA_FILE"),
    ):
        with pytest.raises(post.MailSettingsUnusable) as caught:
            post_of(tmp_path, 25, **more)
        assert caught.value.params["name"] == name


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[tuple[Box, int, Path]]:
    made, files = Box(), certificate(tmp_path, "mail")
    async with listening(plain(made, tls_context=context(files), require_starttls=True)) as port:
        yield made, port, files[0]


@pytest.fixture
def more_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The server's mail settings, for tests that have a box."""
    if "box" not in request.fixturenames:
        return {}
    _, port, authority = request.getfixturevalue("box")
    return {
        "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_from": SENDER, "smtp_ca_file": authority,
        "public_url": "https://visits.example.org",
    }


async def invite(server: Any, in_minutes: float | None = 60 * 24, **more: Any) -> tuple[str, Any]:
    operator = await server.client("operator")
    path = f"/api/v1/consultations/{await server.visit(in_minutes)}"
    wanted = {"role": "patient", "name": "Canary guest", "language": "bg", "email": SOMEBODY, **more}
    status, made = await operator.post(f"{path}/tickets", wanted)
    assert status == 201, made
    return path, made


async def test_an_invitation_arrives_with_words_link_and_calendar(box: Any, server: Any) -> None:
    with capture_logs() as logs:
        path, made = await invite(server)
    assert made["mail"] == {"sent": True, "code": None}
    ((sender, to, content),) = box[0].kept
    assert (sender, to) == (SENDER, [SOMEBODY])
    arrived: Any = email.message_from_bytes(content, policy=policy.default)
    assert b"Subject: =?utf-8?" in content
    assert arrived["Subject"] == made["subject"]["bg"]
    assert arrived["Subject"].startswith("Видеоконсултация на ")
    assert str(arrived["From"].addresses[0].display_name) == "demo organisation"
    text = arrived.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text.strip() == made["words"]["bg"]
    assert made["link"].startswith("https://visits.example.org/#/join/")
    assert made["link"] in text
    assert made["link"] in arrived.get_body(("html",)).get_content()
    (attached,) = arrived.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/calendar", "visit.ics")
    assert attached.get_param("method") == "PUBLISH"
    (event,) = Calendar.from_ical(attached.get_content()).walk("VEVENT")
    assert str(event["URL"]) == made["link"]
    assert str(event["ORGANIZER"]) == f"mailto:{SENDER}"
    whole = "".join(part.get_content() for part in arrived.walk() if not part.is_multipart()) + str(arrived.items())
    assert "Canary" not in whole
    assert "Канарче" not in whole

    # The address is nowhere: not in the audit, the tables, the logs.
    async with server.database.connection() as connection:
        details = await connection.fetch(
            "select action, outcome, detail from audit_event"
            " where action in ('ticket.create', 'ticket.mail') order by id"
        )
        tables = await connection.fetch("select t::text as row from ticket t")
    assert [(row["action"], row["outcome"]) for row in details] == [
        ("ticket.create", "permit"), ("ticket.mail", "event"),
    ]
    assert '"mailed": true' in details[1]["detail"]
    told = f"{[row['detail'] for row in details]} {[row['row'] for row in tables]} {logs}"
    assert SOMEBODY not in told
    assert "example.org" not in told
    token = made["link"].rpartition("/")[2]
    assert token not in told
    operator = await server.client("operator")
    assert token not in str(await operator.get(f"{path}/tickets"))


async def test_a_refused_letter_leaves_a_valid_invitation(box: Any, server: Any) -> None:
    box[0].refuse = "550 no such mailbox"
    with capture_logs() as logs:
        _, made = await invite(server, None, role="relative", language="en")
    assert made["mail"] == {"sent": False, "code": "mail_refused"}
    assert [(one["event"], one["code"], one["reply"]) for one in logs] == [("mail_not_sent", "mail_refused", 550)]
    anonymous = await server.anonymous()
    token = made["link"].rpartition("/")[2]
    assert (await anonymous.post("/api/v1/visits/look", {"ticket": token}))[0] == 200
    async with server.database.connection() as connection:
        detail = await connection.fetchval("select detail from audit_event where action = 'ticket.mail'")
    assert '"mailed": false' in detail


async def test_without_a_mail_server_the_answer_says_so(server: Any) -> None:
    _, made = await invite(server)
    assert made["mail"] == {"sent": False, "code": "mail_not_configured"}
    assert made["link"].startswith(server.url)


async def test_an_account_sends_a_bounded_number_of_letters(box: Any, server: Any) -> None:
    from telemed.http.tickets import MAILS

    operator = await server.client("operator")
    path = f"/api/v1/consultations/{await server.visit()}/tickets"
    wanted = {"role": "patient", "language": "en", "email": SOMEBODY}
    answers = []
    for _ in range(MAILS + 1):
        status, made = await operator.post(path, wanted)
        answers.append(status)
        if status == 201:
            await operator.delete(f"{path}/{made['ticket']['id']}")
    assert answers == [201] * MAILS + [429]
    assert (await operator.post(path, {**wanted, "email": None}))[0] == 201
