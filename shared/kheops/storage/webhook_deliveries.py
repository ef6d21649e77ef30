"""Deliveries of webhooks: the log that administrators of an album read, and what the worker needs to send one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.webhooks import WebhookEvent
from kheops.ids import (
    AlbumId,
    AlbumPk,
    SeriesInstanceUID,
    StudyInstanceUID,
    UserPk,
    WebhookDeliveryId,
    new_webhook_delivery_id,
)
from kheops.storage import outbox
from kheops.storage.participants import PARTICIPANT_WIDTH, Participant, participant_columns, participant_of
from kheops.storage.webhooks import WebhookRecord

__all__ = [
    "NO_ANSWER",
    "WEBHOOK",
    "Attempt",
    "DeliveryRecord",
    "Subject",
    "ToSend",
    "add_delivery",
    "clear",
    "last_deliveries",
    "list_deliveries",
    "record_attempt",
    "to_send",
]

WEBHOOK: Final = "webhook"
"""The kind of task that sends a delivery."""
NO_ANSWER: Final = -1
"""KHEOPS's status of an attempt that had no answer."""
_GOOD: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery."""

    attempt: int
    status: int
    """Of HTTP, or `NO_ANSWER`."""
    at: datetime

    @property
    def passed(self) -> bool:
        """Whether the far end took it."""
        return self.status in _GOOD


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what a delivery tells of."""

    user: UserPk | None = None
    study: StudyInstanceUID | None = None
    series: Sequence[SeriesInstanceUID] = ()


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery as its log has it."""

    delivery: WebhookDeliveryId
    event: WebhookEvent
    is_manual: bool
    created_at: datetime
    user: Participant | None
    study: StudyInstanceUID | None
    series: Sequence[SeriesInstanceUID]
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ToSend:
    """A delivery as its sender needs it, with the webhook as it is now."""

    pk: int
    delivery: WebhookDeliveryId
    event: WebhookEvent
    is_manual: bool
    created_at: datetime
    album_pk: AlbumPk
    album: AlbumId
    url: str
    secret: bytes | None
    enabled: bool


def add_delivery(
    tx: Connection,
    webhook: WebhookRecord,
    event: WebhookEvent,
    subject: Subject,
    facts: Mapping[str, object],
    *,
    is_manual: bool,
    at: datetime,
) -> None:
    """Write a delivery and the task that sends it.

    Parameters
    ----------
    tx
        The transaction of what it tells of.
    webhook
        To which webhook.
    event
        What happened.
    subject
        For the log.
    facts
        What the body is made of when it is sent; wiped when the task ends.
    is_manual
        Whether somebody asked for it to try the webhook.
    at
        When it happened.
    """
    key = tx.execute(
        text(
            "INSERT INTO webhook_deliveries (id, webhook_pk, event, is_manual, created_at, user_pk, "
            "study_instance_uid, series_instance_uids) VALUES (:id, :webhook, :event, :manual, :at, :user, :study, "
            ":series) RETURNING pk"
        ),
        {
            "id": new_webhook_delivery_id(),
            "webhook": webhook.pk,
            "event": event.value,
            "manual": is_manual,
            "at": at,
            "user": subject.user,
            "study": subject.study,
            "series": list(subject.series),
        },
    ).scalar_one()
    outbox.add_task(tx, WEBHOOK, {"delivery": key, "facts": facts}, due=at, lane=str(webhook.album_pk))


def to_send(tx: Connection, delivery: int) -> ToSend | None:
    """Return a delivery with its webhook; ``None`` if that was deleted."""
    row = tx.execute(
        text(
            "SELECT d.pk, d.id, d.event, d.is_manual, d.created_at, w.album_pk, a.id AS album, w.url, w.secret, "
            "w.enabled FROM webhook_deliveries d JOIN webhooks w ON w.pk = d.webhook_pk "
            "JOIN albums a ON a.pk = w.album_pk WHERE d.pk = :pk"
        ),
        {"pk": delivery},
    ).one_or_none()
    if row is None:
        return None
    return ToSend(
        pk=row.pk,
        delivery=WebhookDeliveryId(row.id),
        event=WebhookEvent(row.event),
        is_manual=row.is_manual,
        created_at=row.created_at,
        album_pk=AlbumPk(row.album_pk),
        album=AlbumId(row.album),
        url=row.url,
        secret=None if row.secret is None else bytes(row.secret),
        enabled=row.enabled,
    )


def record_attempt(tx: Connection, delivery: int, attempt: Attempt) -> None:
    """Write down how an attempt ended, unless the webhook was deleted meanwhile."""
    tx.execute(
        text(
            "INSERT INTO webhook_attempts (delivery_pk, attempt, status, at) "
            "SELECT pk, :attempt, :status, :at FROM webhook_deliveries WHERE pk = :delivery FOR KEY SHARE "
            "ON CONFLICT (delivery_pk, attempt) DO NOTHING"
        ),
        {"delivery": delivery, "attempt": attempt.attempt, "status": attempt.status, "at": attempt.at},
    )


_COLUMNS: Final = 7
_PERSON: Final = participant_columns("u", can_access="m.user_pk IS NOT NULL", is_admin="m.is_admin")


def list_deliveries(tx: Connection, webhook: WebhookRecord, page: Page) -> list[DeliveryRecord]:
    """Return a page of a webhook's deliveries with their attempts, newest first."""
    rows = tx.execute(
        text(
            "SELECT d.pk, d.id, d.event, d.is_manual, d.created_at, d.study_instance_uid, d.series_instance_uids, "  # noqa: S608 - constants only
            f"{_PERSON} FROM webhook_deliveries d JOIN webhooks w ON w.pk = d.webhook_pk "
            "LEFT JOIN users u ON u.pk = d.user_pk "
            "LEFT JOIN album_members m ON m.user_pk = u.pk AND m.album_pk = w.album_pk "
            "WHERE d.webhook_pk = :webhook ORDER BY d.pk DESC LIMIT :limit OFFSET :offset"
        ),
        {"webhook": webhook.pk, "limit": page.limit, "offset": page.offset},
    ).all()
    attempts = _attempts(tx, [row[0] for row in rows])
    return [
        DeliveryRecord(
            delivery=WebhookDeliveryId(row[1]),
            event=WebhookEvent(row[2]),
            is_manual=row[3],
            created_at=row[4],
            study=None if row[5] is None else StudyInstanceUID(row[5]),
            series=[SeriesInstanceUID(uid) for uid in row[6]],
            user=participant_of(row[_COLUMNS : _COLUMNS + PARTICIPANT_WIDTH]),
            attempts=attempts.get(row[0], []),
        )
        for row in rows
    ]


def last_deliveries(
    tx: Connection, webhooks: Sequence[WebhookRecord], *, most: int
) -> dict[int, list[tuple[WebhookDeliveryId, Attempt | None]]]:
    """Return the last deliveries of each webhook by its key, newest first, each with its last attempt."""
    rows = tx.execute(
        text(
            "SELECT w.pk, d.id, t.attempt, t.status, t.at FROM unnest(CAST(:webhooks AS bigint[])) AS w (pk) "
            "CROSS JOIN LATERAL (SELECT pk, id FROM webhook_deliveries WHERE webhook_pk = w.pk "
            "ORDER BY pk DESC LIMIT :most) d "
            "LEFT JOIN LATERAL (SELECT attempt, status, at FROM webhook_attempts WHERE delivery_pk = d.pk "
            "ORDER BY attempt DESC LIMIT 1) t ON true ORDER BY w.pk, d.pk DESC"
        ),
        {"webhooks": [each.pk for each in webhooks], "most": most},
    ).all()
    found: dict[int, list[tuple[WebhookDeliveryId, Attempt | None]]] = {each.pk: [] for each in webhooks}
    for row in rows:
        attempt = None if row.attempt is None else Attempt(row.attempt, row.status, row.at)
        found[row.pk].append((WebhookDeliveryId(row.id), attempt))
    return found


def clear(tx: Connection, *, before: datetime) -> int:
    """Delete deliveries from before ``before``, and return how many they were."""
    gone = tx.execute(text("DELETE FROM webhook_deliveries WHERE created_at < :before"), {"before": before})
    return gone.rowcount


def _attempts(tx: Connection, deliveries: Sequence[int]) -> dict[int, list[Attempt]]:
    rows = tx.execute(
        text(
            "SELECT delivery_pk, attempt, status, at FROM webhook_attempts "
            "WHERE delivery_pk = ANY (CAST(:deliveries AS bigint[])) ORDER BY delivery_pk, attempt"
        ),
        {"deliveries": list(deliveries)},
    ).all()
    found: dict[int, list[Attempt]] = {}
    for row in rows:
        found.setdefault(row.delivery_pk, []).append(Attempt(row.attempt, row.status, row.at))
    return found
