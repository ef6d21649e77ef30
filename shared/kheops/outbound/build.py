"""From settings to what sends mails."""

from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr

from kheops.config import Settings
from kheops.outbound.mailers import Mailer, MailFolder, SmtpMailer, SmtpServer

__all__ = ["mailer_of"]


def mailer_of(settings: Settings, reveal: Callable[[SecretStr], str] = SecretStr.get_secret_value) -> Mailer | None:
    """Return what sends mails by the settings; ``None`` where they name no sender.

    Parameters
    ----------
    settings
        The settings.
    reveal
        Tells the value of a secret.
    """
    if settings.mail_from is None:
        return None
    domain = urlsplit(settings.public_url).hostname or "localhost"
    if settings.mail_folder is not None:
        return MailFolder(settings.mail_folder, sender=settings.mail_from, domain=domain)
    password = settings.mail_smtp_password
    server = SmtpServer(
        host=settings.mail_smtp_host or "",
        port=settings.mail_smtp_port,
        tls=settings.mail_smtp_tls,
        user=settings.mail_smtp_user,
        password=None if password is None else reveal(password),
    )
    return SmtpMailer(server, sender=settings.mail_from, domain=domain)
