"""Report providers of albums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum
from kheops.domain.report_providers import ProviderDraft
from kheops.ids import AlbumId, AlbumPk, ReportProviderId, new_report_provider_id

__all__ = [
    "ProviderRecord",
    "clear_assertions",
    "create_provider",
    "edit_provider",
    "find_of_album",
    "find_provider",
    "list_of_album",
    "number_of_album",
    "remember_assertion",
    "remove_provider",
]

_CLEARED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """A report provider that has not been removed."""

    pk: int
    provider: ReportProviderId
    album: AlbumPk
    album_id: AlbumId
    name: str
    url: str
    created_at: datetime


_SELECT: Final = """
    SELECT p.pk, p.client_id, p.album_pk, a.id, p.name, p.url, p.created_at
    FROM report_providers p JOIN albums a ON a.pk = p.album_pk WHERE p.removed_at IS NULL
"""


def create_provider(tx: Connection, album: PermittedAlbum, draft: ProviderDraft, *, at: datetime) -> ProviderRecord:
    """Write a new provider and return it."""
    provider = new_report_provider_id()
    tx.execute(
        text(
            "INSERT INTO report_providers (client_id, album_pk, name, url, created_at) "
            "VALUES (:client_id, :album, :name, :url, :at)"
        ),
        {"client_id": provider, "album": album, "name": draft.name, "url": draft.url, "at": at},
    )
    record = find_provider(tx, provider)
    assert record is not None
    return record


def find_provider(tx: Connection, provider: ReportProviderId) -> ProviderRecord | None:
    """Return a provider by its ``client_id``; ``None`` if there is none, or no longer."""
    return _record(tx.execute(text(f"{_SELECT} AND p.client_id = :id"), {"id": provider}).one_or_none())


def find_of_album(tx: Connection, album: PermittedAlbum, provider: ReportProviderId) -> ProviderRecord | None:
    """Return a provider of this album."""
    statement = text(f"{_SELECT} AND p.client_id = :id AND p.album_pk = :album")
    return _record(tx.execute(statement, {"id": provider, "album": album}).one_or_none())


def list_of_album(tx: Connection, album: PermittedAlbum, page: Page) -> tuple[Sequence[ProviderRecord], int]:
    """Return a page of an album's providers, oldest first, and how many there are in all."""
    rows = tx.execute(
        text(f"{_SELECT} AND p.album_pk = :album ORDER BY p.created_at, p.pk LIMIT :limit OFFSET :offset"),
        {"album": album, "limit": page.limit, "offset": page.offset},
    ).all()
    return [record for row in rows if (record := _record(row)) is not None], number_of_album(tx, album)


def number_of_album(tx: Connection, album: PermittedAlbum) -> int:
    """Return how many providers an album has."""
    number: int = tx.execute(
        text("SELECT count(*) FROM report_providers WHERE album_pk = :album AND removed_at IS NULL"), {"album": album}
    ).scalar_one()
    return number


def edit_provider(tx: Connection, pk: int, draft: ProviderDraft) -> None:
    """Change name and address of a provider. What it was given before stays good only at the same address."""
    tx.execute(
        text("UPDATE report_providers SET name = :name, url = :url WHERE pk = :pk"),
        {"name": draft.name, "url": draft.url, "pk": pk},
    )


def remove_provider(tx: Connection, pk: int, *, at: datetime) -> bool:
    """Remove a provider for good, with everything that it was given; ``False`` if somebody else did."""
    removed = tx.execute(
        text("UPDATE report_providers SET removed_at = :at WHERE pk = :pk AND removed_at IS NULL"),
        {"at": at, "pk": pk},
    )
    return removed.rowcount == 1


def remember_assertion(tx: Connection, pk: int, *, jti_hash: bytes, until: datetime) -> bool:
    """Remember that a provider has used an assertion (RFC 7523 section 3); ``False`` if it had already.

    Parameters
    ----------
    tx
        The transaction.
    pk
        The provider.
    jti_hash
        A digest of the assertion's ``jti``.
    until
        When the assertion can be used no longer anyway.
    """
    inserted = tx.execute(
        text(
            "INSERT INTO report_assertions (provider_pk, jti_hash, expires_at) VALUES (:pk, :jti, :until) "
            "ON CONFLICT DO NOTHING"
        ),
        {"pk": pk, "jti": jti_hash, "until": until},
    )
    return inserted.rowcount == 1


def clear_assertions(tx: Connection, *, at: datetime) -> int:
    """Forget assertions that are past their time, a thousand at most, and return how many."""
    deleted = tx.execute(
        text(
            "DELETE FROM report_assertions WHERE (provider_pk, jti_hash) IN (SELECT provider_pk, jti_hash "
            "FROM report_assertions WHERE expires_at <= :at LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"at": at, "most": _CLEARED_AT_ONCE},
    )
    return deleted.rowcount


def _record(row: Sequence[Any] | None) -> ProviderRecord | None:
    if row is None:
        return None
    return ProviderRecord(
        pk=row[0],
        provider=ReportProviderId(row[1]),
        album=AlbumPk(row[2]),
        album_id=AlbumId(row[3]),
        name=row[4],
        url=row[5],
        created_at=row[6],
    )
