"""Sending mail: by SMTP (RFC 5321), or into a folder where nothing must leave the machine."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from kheops.domain.mail import Mail
from kheops.errors import OutboundError
from kheops.observability import get_logger

__all__ = ["MailFolder", "MailRefusedError", "Mailer", "SmtpMailer", "SmtpServer"]

_LOG = get_logger(__name__)

_SECONDS: Final = 10.0
"""For each exchange with the server; a whole mail has a few."""
_PERMANENT: Final = range(500, 600)


class MailRefusedError(OutboundError):
    """The server refused this mail for good (a reply of 5xx to its recipient or content): trying again is no use."""

    code = "mail-refused"


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail, *, number: int, at: datetime) -> None:
        """Send one mail.

        Parameters
        ----------
        mail
            What to send.
        number
            Of its task: the Message-ID is made of it, so that a mail sent twice can be told to be one.
        at
            The current time, for ``Date``.

        Raises
        ------
        MailRefusedError
            If it will never be taken.
        OutboundError
            If it could not be handed over now.
        """


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A submission server (RFC 6409)."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    """``starttls`` demands it; a server that does not offer it gets no mail."""
    user: str | None = None
    password: str | None = None


class SmtpMailer:
    """Sends mails by SMTP, each over a connection of its own.

    Parameters
    ----------
    server
        Where to.
    sender
        The address that mails come from.
    domain
        The right side of Message-IDs, and what we greet with: asking the resolver for our own name can take seconds.
    trust
        Which certificates are trusted; those of the operating system by default.
    """

    def __init__(self, server: SmtpServer, *, sender: str, domain: str, trust: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._domain = domain
        self._trust = trust

    async def send(self, mail: Mail, *, number: int, at: datetime) -> None:
        """Send one mail; see `Mailer`."""
        message = _message(mail, sender=self._sender, domain=self._domain, number=number, at=at)
        try:
            # smtplib blocks; mails are few.
            await asyncio.to_thread(self._hand_over, message)
        except smtplib.SMTPRecipientsRefused as error:
            code = max((code for code, _ in error.recipients.values()), default=0)
            raise _refused(code) from None
        except smtplib.SMTPResponseException as error:
            # A refused login says nothing of the mail: somebody may put it right before the last attempt.
            permanent = not isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError)
            raise _refused(error.smtp_code if permanent else 0) from None
        except (smtplib.SMTPException, OSError) as error:
            _LOG.warning("mail.failed", error=type(error).__name__)
            raise OutboundError from None

    def _hand_over(self, message: EmailMessage) -> None:
        server = self._server
        trust = self._trust or ssl.create_default_context()
        if server.tls == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, self._domain, timeout=_SECONDS, context=trust
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, self._domain, timeout=_SECONDS)
        with connection:
            if server.tls == "starttls":
                connection.starttls(context=trust)
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
            connection.send_message(message)


class MailFolder:
    """Writes mails into a folder as ``*.eml`` files, for installations that send none: the local stack.

    Parameters
    ----------
    folder
        Where to; made if absent. Only its owner may read it: invitations hold secrets.
    sender
        The address that mails come from.
    domain
        The right side of Message-IDs.
    """

    def __init__(self, folder: Path, *, sender: str, domain: str) -> None:
        self._folder = folder
        self._sender = sender
        self._domain = domain

    async def send(self, mail: Mail, *, number: int, at: datetime) -> None:
        """Write one mail; see `Mailer`."""
        message = _message(mail, sender=self._sender, domain=self._domain, number=number, at=at)
        try:
            await asyncio.to_thread(self._write, f"{number:08d}.eml", message.as_bytes())
        except OSError as error:
            _LOG.warning("mail.failed", error=type(error).__name__)
            raise OutboundError from None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever looks for mails finds whole ones only.
        partial = self._folder / f".{name}"
        partial.touch(mode=0o600)
        partial.write_bytes(content)
        partial.replace(self._folder / name)


def _message(mail: Mail, *, sender: str, domain: str, number: int, at: datetime) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<kheops-{number}@{domain}>"
    # RFC 3834: nobody's holiday notice answers it.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def _refused(code: int) -> OutboundError:
    _LOG.warning("mail.refused", status=code)
    return MailRefusedError() if code in _PERMANENT else OutboundError()
