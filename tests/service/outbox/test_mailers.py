"""Mail to a real SMTP server on loopback, and into a folder."""

import asyncio
import datetime as dt
import email
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kheops.domain.mail import Mail
from kheops.errors import OutboundError
from kheops.outbound.mailers import MailFolder, MailRefusedError, SmtpMailer, SmtpServer

MAIL = Mail("bob@example.org", "Neues für 山田", "Grüße\n.\nEnde\n")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@dataclass
class Handler:
    """What the server got, and what it says."""

    got: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    to_recipient: str = ""
    to_data: str = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.to_recipient:
            return self.to_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        if self.to_data.startswith("250"):
            self.got.append((envelope.mail_from, envelope.rcpt_tos, message))
        return self.to_data


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


@pytest.fixture
def handler() -> Handler:
    return Handler()


def start(handler: Handler, **options: Any) -> Iterator[Controller]:
    # It connects to itself by the number that it was given, so it must be given one.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=number, server_hostname="localhost", **options)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


def port(controller: Controller) -> int:
    number: int = controller.port
    return number


@pytest.fixture
def plain(handler: Handler) -> Iterator[Controller]:
    yield from start(handler)


@pytest.fixture
def secured(handler: Handler, certificate: Path) -> Iterator[Controller]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")

    def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"kheops", b"password"))

    yield from start(
        handler,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticator,
        auth_exclude_mechanism=["LOGIN"],
    )


def mailer(server: SmtpServer, trust: ssl.SSLContext | None = None) -> SmtpMailer:
    return SmtpMailer(server, sender="kheops@example.org", domain="kheops.example.org", trust=trust)


def send(to: SmtpMailer | MailFolder, mail: Mail = MAIL) -> None:
    asyncio.run(to.send(mail, number=7, at=AT))


def is_the_mail(message: EmailMessage) -> None:
    assert message["From"] == "kheops@example.org"
    assert message["To"] == "bob@example.org"
    assert message["Subject"] == MAIL.subject
    assert message["Message-ID"] == "<kheops-7@kheops.example.org>"
    assert message["Date"].datetime == AT
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().replace("\r\n", "\n") == MAIL.text


def test_a_mail_arrives_whole(plain: Controller, handler: Handler) -> None:
    send(mailer(SmtpServer("127.0.0.1", port(plain), "none")))
    [(sender, recipients, message)] = handler.got
    assert (sender, recipients) == ("kheops@example.org", ["bob@example.org"])
    is_the_mail(message)


def test_a_mail_goes_over_tls_and_with_the_password(secured: Controller, handler: Handler, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    server = SmtpServer("127.0.0.1", port(secured), "starttls", "kheops", "password")
    send(mailer(server, trust))
    is_the_mail(handler.got[0][2])


def test_a_server_without_a_certificate_that_is_trusted_gets_nothing(secured: Controller, handler: Handler) -> None:
    with pytest.raises(OutboundError):
        send(mailer(SmtpServer("127.0.0.1", port(secured), "starttls", "kheops", "password")))
    assert handler.got == []


def test_a_server_that_does_not_offer_tls_gets_nothing(plain: Controller, handler: Handler) -> None:
    with pytest.raises(OutboundError) as raised:
        send(mailer(SmtpServer("127.0.0.1", port(plain), "starttls")))
    assert not isinstance(raised.value, MailRefusedError)
    assert handler.got == []


def test_a_wrong_password_may_be_put_right_later(secured: Controller, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    with pytest.raises(OutboundError) as raised:
        send(mailer(SmtpServer("127.0.0.1", port(secured), "starttls", "kheops", "wrong"), trust))
    assert not isinstance(raised.value, MailRefusedError)


@pytest.mark.parametrize(
    ("recipient", "data", "for_good"),
    [("550 no such user", "250 OK", True), ("450 busy", "250 OK", False), ("", "554 no", True), ("", "451 no", False)],
)
def test_a_refusal_for_good_is_told_from_one_for_now(
    plain: Controller, handler: Handler, recipient: str, data: str, *, for_good: bool
) -> None:
    handler.to_recipient, handler.to_data = recipient, data
    with pytest.raises(OutboundError) as raised:
        send(mailer(SmtpServer("127.0.0.1", port(plain), "none")))
    assert isinstance(raised.value, MailRefusedError) == for_good


def test_no_server_is_an_error_for_now() -> None:
    with pytest.raises(OutboundError) as raised:
        send(mailer(SmtpServer("127.0.0.1", 9, "none")))
    assert not isinstance(raised.value, MailRefusedError)


def test_a_mail_is_written_into_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    sink = MailFolder(folder, sender="kheops@example.org", domain="kheops.example.org")
    send(sink)
    send(sink)
    [file] = folder.iterdir()
    assert file.name == "00000007.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    is_the_mail(message)
