"""The control plane's world with webhooks, mail, and workers of the outbox."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from typing_extensions import override

from kheops.domain.mail import Mail
from kheops.domain.principals import Person
from kheops.domain.uses import UseKind
from kheops.domain.webhooks import WebhookDraft, WebhookEvent
from kheops.errors import OutboundError
from kheops.identity.keyring import Keyring
from kheops.identity.sealed_keys import KeySealer
from kheops.ids import AlbumId
from kheops.outbound.guard import OutboundGuard
from kheops.outbound.mailers import MailRefusedError
from kheops.services.comments import Comments
from kheops.services.deliveries import WebhookSender, mail_sender
from kheops.services.digests import Digests
from kheops.services.outbox import Outbox
from kheops.services.webhooks import Webhooks, WebhookView
from kheops.storage import outbox
from kheops.storage.digests import DIGEST
from tests.service.control.world import ISSUER, World
from tests.unit.outbound.receiver import Receiver

__all__ = ["HOST", "OutboxWorld", "Sent"]

T = TypeVar("T")

HOST = "https://kheops.example.org"
PEPPER = b"p" * 32


class Sent:
    """A mailer that keeps what it was given; a real SMTP server runs in ``test_mailers.py``."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.down = False
        self.refuses = False

    async def send(self, mail: Mail, *, number: int, at: datetime) -> None:
        assert number
        assert at.tzinfo is not None
        if self.down:
            raise OutboundError
        if self.refuses:
            raise MailRefusedError
        self.mails.append(mail)


class OutboxWorld(World):
    """People, albums, series and what goes out."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sealer = KeySealer(Keyring(PEPPER))
        self.webhooks = Webhooks(
            self.database, self.now, default_issuer=ISSUER, guard=OutboundGuard(plain_http=True), sealer=self.sealer
        )
        self.comments = Comments(self.database, self.now, default_issuer=ISSUER)
        self.mailer = Sent()

    def webhook(
        self,
        owner: Person,
        album: AlbumId,
        far: Receiver | None = None,
        *events: WebhookEvent,
        secret: str | None = None,
        enabled: bool = True,
    ) -> WebhookView:
        """Create a webhook that goes to ``far``."""
        draft = WebhookDraft(
            name="Hook",
            url="http://hook.example/" if far is None else f"http://hook.example:{far.port}/hook",
            events=frozenset(events or WebhookEvent),
            secret=secret,
            enabled=enabled,
        )
        asked = self.use(owner, UseKind.WEBHOOK_CREATED)
        return self.run(self.webhooks.create(owner, album, draft, asked=asked))

    def deliver(self, far: Receiver | None = None, *, workers: int = 1) -> int:
        """Deliver what is due, and return how many attempts that took."""

        async def body() -> int:
            guards = [self.guard(far) for _ in range(workers)]
            numbers = await asyncio.gather(*(self.worker(guard).run_once() for guard in guards))
            for guard in guards:
                await guard.aclose()
            return sum(numbers)

        return asyncio.run(body())

    def guard(self, far: Receiver | None) -> OutboundGuard:
        async def resolve(host: str, port: int) -> list[str]:
            assert host == "hook.example"
            assert port
            return ["127.0.0.1"]

        allowed = [] if far is None else [f"hook.example:{far.port}"]
        return OutboundGuard(allowed=allowed, plain_http=True, resolve=resolve, seconds=2)

    def worker(self, guard: OutboundGuard, *, lease: timedelta = timedelta(minutes=2)) -> Outbox:
        sender = WebhookSender(self.database, self.now, guard=guard, sealer=self.sealer, host=HOST)
        senders = {
            **sender.senders(),
            outbox.MAIL: mail_sender(self.mailer, self.now),
            DIGEST: self.digests().send,
        }
        return Outbox(self.database, self.now, senders, given_up=sender.given_up(), lease=lease)

    def digests(self, interval: timedelta = timedelta(hours=24)) -> Digests:
        return Digests(self.database, self.now, self.mailer, interval=interval, public_url=HOST)

    def later(self, far: Receiver, **passed: float) -> int:
        """Let time pass, and deliver."""
        self.moved += timedelta(**passed)
        return self.deliver(far)

    def waiting(self) -> list[tuple[str, int]]:
        """Return kind and attempts of the tasks that have not ended."""
        sql = "SELECT kind, attempts FROM outbox WHERE done_at IS NULL AND failed_at IS NULL ORDER BY pk"
        return [(row[0], row[1]) for row in self.rows(sql)]

    def failed(self) -> int:
        number: int = self.scalar("SELECT count(*) FROM outbox WHERE failed_at IS NOT NULL")
        return number

    def in_loop(self, body: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await body()

        return asyncio.run(whole())

    @override
    def empty(self) -> None:
        self.execute("DELETE FROM outbox")
        super().empty()
        self.mailer = Sent()
