"""Webhooks of albums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum
from kheops.domain.webhooks import WebhookEvent
from kheops.ids import AlbumPk, UserPk, WebhookId, new_webhook_id

__all__ = [
    "WebhookRecord",
    "create_webhook",
    "delete_webhook",
    "edit_webhook",
    "find_webhook",
    "list_webhooks",
    "listening",
    "number_of_webhooks",
]


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """A webhook."""

    pk: int
    album_pk: AlbumPk
    webhook: WebhookId
    name: str
    url: str
    secret: bytes | None
    """Sealed; ``None`` for one that signs nothing."""
    events: frozenset[WebhookEvent]
    enabled: bool
    number_of_deliveries: int


_SELECT: Final = """
    SELECT w.pk, w.album_pk, w.id, w.name, w.url, w.secret, w.events, w.enabled,
           (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_pk = w.pk) AS number_of_deliveries
    FROM webhooks w
"""

# Each function takes a `PermittedAlbum`, which only the policy makes, but the one that is asked for an event.


def create_webhook(
    tx: Connection,
    album: PermittedAlbum,
    *,
    name: str,
    url: str,
    secret: bytes | None,
    events: frozenset[WebhookEvent],
    enabled: bool,
    by: UserPk,
    at: datetime,
) -> WebhookId:
    """Write a new webhook and return its id."""
    webhook = new_webhook_id()
    tx.execute(
        text(
            "INSERT INTO webhooks (id, album_pk, user_pk, name, url, secret, enabled, events, created_at) "
            "VALUES (:id, :album, :by, :name, :url, :secret, :enabled, :events, :at)"
        ),
        {
            "id": webhook,
            "album": album,
            "by": by,
            "name": name,
            "url": url,
            "secret": secret,
            "enabled": enabled,
            "events": sorted(events),
            "at": at,
        },
    )
    return webhook


def edit_webhook(tx: Connection, album: PermittedAlbum, changed: WebhookRecord) -> None:
    """Write a webhook as it is to be now."""
    tx.execute(
        text(
            "UPDATE webhooks SET name = :name, url = :url, secret = :secret, enabled = :enabled, events = :events "
            "WHERE pk = :pk AND album_pk = :album"
        ),
        {
            "pk": changed.pk,
            "album": album,
            "name": changed.name,
            "url": changed.url,
            "secret": changed.secret,
            "enabled": changed.enabled,
            "events": sorted(changed.events),
        },
    )


def delete_webhook(tx: Connection, album: PermittedAlbum, webhook: WebhookId) -> bool:
    """Delete a webhook with its deliveries; ``False`` if the album has none of this id."""
    gone = tx.execute(
        text("DELETE FROM webhooks WHERE id = :id AND album_pk = :album"), {"id": webhook, "album": album}
    )
    return gone.rowcount == 1


def find_webhook(tx: Connection, album: PermittedAlbum, webhook: WebhookId) -> WebhookRecord | None:
    """Return a webhook of the album; ``None`` if it has none of this id."""
    row = tx.execute(
        text(f"{_SELECT} WHERE w.id = :id AND w.album_pk = :album"), {"id": webhook, "album": album}
    ).one_or_none()
    return None if row is None else _record(row)


def list_webhooks(
    tx: Connection, album: PermittedAlbum, *, url: str | None, page: Page
) -> tuple[list[WebhookRecord], int]:
    """Return a page of the album's webhooks, oldest first, and how many there are in all.

    Parameters
    ----------
    tx
        The transaction.
    album
        The album.
    url
        Only those with this URL, where given.
    page
        Which part.
    """
    wanted = " WHERE w.album_pk = :album AND (CAST(:url AS text) IS NULL OR w.url = CAST(:url AS text)) "
    parameters = {"album": album, "url": url}
    rows = tx.execute(
        text(f"{_SELECT} {wanted} ORDER BY w.pk LIMIT :limit OFFSET :offset"),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(text(f"SELECT count(*) FROM webhooks w {wanted}"), parameters).scalar_one()  # noqa: S608 - constants only
    return [_record(row) for row in rows], total


def number_of_webhooks(tx: Connection, album: PermittedAlbum) -> int:
    """Return how many webhooks the album has."""
    number: int = tx.execute(
        text("SELECT count(*) FROM webhooks WHERE album_pk = :album"), {"album": album}
    ).scalar_one()
    return number


def listening(tx: Connection, album: AlbumPk, event: WebhookEvent) -> Sequence[WebhookRecord]:
    """Return the enabled webhooks of an album that want to be told of ``event``."""
    rows = tx.execute(
        text(f"{_SELECT} WHERE w.album_pk = :album AND w.enabled AND :event = ANY (w.events) ORDER BY w.pk"),
        {"album": album, "event": event.value},
    ).all()
    return [_record(row) for row in rows]


def _record(row: Row[Any]) -> WebhookRecord:
    return WebhookRecord(
        pk=row.pk,
        album_pk=AlbumPk(row.album_pk),
        webhook=WebhookId(row.id),
        name=row.name,
        url=row.url,
        secret=None if row.secret is None else bytes(row.secret),
        events=frozenset(WebhookEvent(each) for each in row.events),
        enabled=row.enabled,
        number_of_deliveries=row.number_of_deliveries,
    )
