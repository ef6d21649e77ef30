"""Senders of the outbox: deliveries of webhooks, and mails."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.mail import Mail
from kheops.domain.webhooks import WebhookEvent
from kheops.errors import BadRequestError, OutboundError
from kheops.identity.sealed_keys import KeySealer
from kheops.ids import AlbumId, AlbumPk, SeriesInstanceUID, StudyInstanceUID, UserPk
from kheops.observability import get_logger
from kheops.outbound.guard import OutboundGuard
from kheops.outbound.mailers import Mailer, MailRefusedError
from kheops.services.outbox import GivenUp, Sender, Sent
from kheops.services.webhook_bodies import common_json, person_json, study_json, with_retrieve_urls
from kheops.services.webhook_events import FAREWELL, expand_new_series
from kheops.storage import webhook_deliveries, webhook_subjects
from kheops.storage.engine import Database
from kheops.storage.outbox import MOST_ATTEMPTS, Task
from kheops.storage.webhook_deliveries import NO_ANSWER, WEBHOOK, Attempt, ToSend
from kheops.storage.webhook_subjects import NEW_SERIES

__all__ = ["WebhookSender", "mail_sender", "send_mail"]

_LOG = get_logger(__name__)
_NOTHING_LEFT: Final = Sent(delivered=True)
_GIVEN_UP: Final = Sent(delivered=False, again=False)

_Prepared = tuple[ToSend, bytes]


class WebhookSender:
    """Sends what webhooks are told, as KHEOPS does.

    Parameters
    ----------
    database, clock
        Where deliveries are, and the current time.
    guard
        The way out.
    sealer
        Opens the secrets that sign.
    host
        The public root, which each body names.
    """

    def __init__(
        self, database: Database, clock: Clock, *, guard: OutboundGuard, sealer: KeySealer, host: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._guard = guard
        self._sealer = sealer
        self._host = host

    def senders(self) -> Mapping[str, Sender]:
        """Return a sender of each kind of task that has to do with webhooks."""
        return {NEW_SERIES: self._expand, WEBHOOK: self._deliver, FAREWELL: self._farewell}

    @staticmethod
    def given_up() -> Mapping[str, GivenUp]:
        """Return what shows in the log of a webhook that its last attempt came to no end."""
        return {WEBHOOK: _record_given_up}

    async def _expand(self, task: Task) -> Sent:
        return Sent(delivered=True, record=lambda tx: expand_new_series(tx, task, self._clock()))

    async def _deliver(self, task: Task) -> Sent:
        prepared = await self._database.run(partial(self._prepare, task=task))
        if prepared is None:
            return _NOTHING_LEFT
        delivery, body = prepared
        headers = {
            "X-Kheops-Event": delivery.event.value,
            "X-Kheops-Delivery": delivery.delivery,
            "X-Kheops-Attempt": f"{task.attempt}/{MOST_ATTEMPTS}",
        }
        if delivery.secret is not None:
            key = self._sealer.open(delivery.secret)
            if key is None:
                # Without its signature, the far end could not tell it from a forgery.
                _LOG.error("webhook.secret_lost", webhook=delivery.delivery)
                return _GIVEN_UP
            headers["X-Kheops-Signature"] = _signature(key, body)
        status = await self._post(delivery.url, headers, body)
        attempt = Attempt(task.attempt, status, self._clock())
        record = partial(webhook_deliveries.record_attempt, delivery=delivery.pk, attempt=attempt)
        return Sent(delivered=attempt.passed, record=record)

    async def _farewell(self, task: Task) -> Sent:
        payload = task.payload
        body, secret = self._farewell_body(payload), payload["secret"]
        headers = {
            "X-Kheops-Event": WebhookEvent.DELETE_ALBUM.value,
            "X-Kheops-Attempt": f"{task.attempt}/{MOST_ATTEMPTS}",
        }
        if isinstance(secret, str):
            key = self._sealer.open(secret.encode())
            if key is None:
                return _GIVEN_UP
            headers["X-Kheops-Signature"] = _signature(key, body)
        status = await self._post(str(payload["url"]), headers, body)
        return Sent(delivered=Attempt(task.attempt, status, self._clock()).passed)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            return await self._guard.post(url, headers={"Content-Type": "application/json", **headers}, body=body)
        except (OutboundError, BadRequestError):
            return NO_ANSWER

    def _prepare(self, tx: Connection, task: Task) -> _Prepared | None:
        """Return what goes out, made of what the album may know now; ``None`` if nothing is left to tell."""
        key, facts = task.payload["delivery"], task.payload["facts"]
        assert isinstance(key, int)
        assert isinstance(facts, dict)
        delivery = webhook_deliveries.to_send(tx, key)
        if delivery is None or not (delivery.enabled or delivery.is_manual):
            return None
        told = self._told(tx, delivery, task, facts)
        if told is None:
            return None
        source = webhook_subjects.doer(tx, delivery.album_pk, facts)
        common = common_json(
            host=self._host,
            album=delivery.album,
            event_time=delivery.created_at,
            source=source,
            is_manual=delivery.is_manual,
        )
        return delivery, _bytes({**common, **told})

    def _told(
        self, tx: Connection, delivery: ToSend, task: Task, facts: Mapping[str, Any]
    ) -> dict[str, object] | None:
        match delivery.event:
            case WebhookEvent.NEW_SERIES:
                study, series = StudyInstanceUID(facts["study"]), [SeriesInstanceUID(uid) for uid in facts["series"]]
                held = webhook_subjects.attributes_of(tx, delivery.album_pk, study, series)
                if not held:
                    return None
                updated = with_retrieve_urls(study_json(study, held, facts["series"]), self._host)
                return {"import_source": facts["import_source"], "updated_study": updated}
            case WebhookEvent.REMOVE_SERIES:
                return {name: facts[name] for name in ("remove_all_series", "removed_study")}
            case WebhookEvent.NEW_USER:
                person = _new_user(tx, delivery.album_pk, facts)
                return None if person is None else {"new_user": person}
            case WebhookEvent.DELETE_ALBUM:
                raise AssertionError(f"task {task.pk}: a deleted album has no delivery")

    def _farewell_body(self, payload: Mapping[str, object]) -> bytes:
        common = common_json(
            host=self._host,
            album=AlbumId(str(payload["album"])),
            event_time=datetime.fromisoformat(str(payload["event_time"])),
            source=None,
            is_manual=False,
        )
        source = payload["source"]
        return _bytes(common if source is None else {**common, "source": source})


def mail_sender(mailer: Mailer, clock: Clock) -> Sender:
    """Return the sender of mails."""

    async def send(task: Task) -> Sent:
        mail = Mail(*(str(task.payload[name]) for name in ("recipient", "subject", "text")))
        return await send_mail(mailer, mail, task, clock())

    return send


async def send_mail(mailer: Mailer, mail: Mail, task: Task, at: datetime) -> Sent:
    """Send a mail for a task and return how that ended."""
    try:
        await mailer.send(mail, number=task.pk, at=at)
    except MailRefusedError:
        return _GIVEN_UP
    except OutboundError:
        return Sent(delivered=False)
    return Sent(delivered=True)


def _record_given_up(tx: Connection, task: Task, at: datetime) -> None:
    key = task.payload["delivery"]
    assert isinstance(key, int)
    webhook_deliveries.record_attempt(tx, delivery=key, attempt=Attempt(task.attempt, NO_ANSWER, at))


def _new_user(tx: Connection, album: AlbumPk, facts: Mapping[str, Any]) -> dict[str, object] | None:
    person = webhook_subjects.participant(tx, album, UserPk(facts["user"]))
    return None if person is None else person_json(person)


def _signature(key: str, body: bytes) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def _bytes(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
