"""From settings to what sends mails."""

from urllib.parse import urlsplit

from kheops.config import Settings
from kheops.outbound.mailers import Mailer, MailFolder, SmtpMailer, SmtpServer

__all__ = ["mailer_of"]


def mailer_of(settings: Settings) -> Mailer | None:
    """Return what sends mails by the settings; ``None`` where they name no sender."""
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
        password=None if password is None else password.get_secret_value(),
    )
    return SmtpMailer(server, sender=settings.mail_from, domain=domain)
