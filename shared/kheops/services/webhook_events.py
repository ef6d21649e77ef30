"""Telling webhooks what happens to their albums, in the transaction in which it happens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from kheops.domain.principals import Principal
from kheops.domain.uses import User
from kheops.domain.webhooks import ImportSource, WebhookEvent
from kheops.ids import AlbumId, AlbumPk, SeriesInstanceUID, SeriesPk, StudyInstanceUID, UserPk
from kheops.services.webhook_bodies import person_json, study_json
from kheops.storage import outbox, webhook_subjects, webhooks
from kheops.storage.outbox import Task
from kheops.storage.webhook_deliveries import Subject, add_delivery

__all__ = [
    "FAREWELL",
    "expand_new_series",
    "tell_deleted_album",
    "tell_new_series",
    "tell_new_user",
    "tell_removed_series",
]

FAREWELL: Final = "webhook-farewell"
"""The kind of task that tells of a deleted album, whose webhooks are gone with it."""


def tell_new_series(
    tx: Connection,
    series: Mapping[SeriesPk, int | None],
    *,
    target: AlbumPk,
    by: Principal,
    source: ImportSource,
    at: datetime,
) -> None:
    """Tell of series, or further instances of series, that came into an album or inbox.

    Of an upload, every album that holds them is told, as in KHEOPS; of series that were sent, the one that they were
    sent to. To be called after everything else that the transaction locks.

    Parameters
    ----------
    tx
        The transaction.
    series
        How many instances of each are new; ``None`` for all that it has.
    target
        To which album or inbox they came.
    by
        Who did it.
    source
        How they came.
    at
        The current time.
    """
    webhook_subjects.collect_new_series(
        tx,
        series,
        by=by,
        source=source,
        target=target,
        only_target=source is ImportSource.SEND,
        at=at,
    )


def expand_new_series(tx: Connection, task: Task, at: datetime) -> None:
    """Make deliveries of what was collected, one for each webhook that listens now."""
    album, study, series = task.payload["album"], task.payload["study"], task.payload["series"]
    assert isinstance(album, int)
    assert isinstance(study, str)
    assert isinstance(series, dict)
    subject = Subject(study=StudyInstanceUID(study), series=[SeriesInstanceUID(uid) for uid in series])
    for each in webhooks.listening(tx, AlbumPk(album), WebhookEvent.NEW_SERIES):
        add_delivery(tx, each, WebhookEvent.NEW_SERIES, subject, task.payload, is_manual=False, at=at)


def tell_removed_series(
    tx: Connection,
    album: AlbumPk,
    study: StudyInstanceUID,
    series: Sequence[SeriesInstanceUID],
    *,
    by: Principal | None,
    at: datetime,
) -> None:
    """Tell of series that this transaction took out of an album; ``None`` names nobody who did it.

    Their attributes are written down now: later they may be nobody's, or somebody else's.
    """
    listening = webhooks.listening(tx, album, WebhookEvent.REMOVE_SERIES)
    if not listening:
        return
    facts = {
        **webhook_subjects.source_facts(by),
        "remove_all_series": not webhook_subjects.has_series_of(tx, album, study),
        "removed_study": study_json(study, webhook_subjects.attributes_of_gone(tx, study, series)),
    }
    for each in listening:
        subject = Subject(study=study, series=series)
        add_delivery(tx, each, WebhookEvent.REMOVE_SERIES, subject, facts, is_manual=False, at=at)


def tell_new_user(tx: Connection, album: AlbumPk, user: UserPk, *, by: Principal, at: datetime) -> None:
    """Tell of somebody who became a member of an album in this transaction.

    Parameters
    ----------
    tx
        The transaction.
    album
        The album.
    user
        The new member.
    by
        Who added them; who accepted an invitation, did it themselves.
    at
        The current time.
    """
    facts = {**webhook_subjects.source_facts(by), "user": user}
    for each in webhooks.listening(tx, album, WebhookEvent.NEW_USER):
        add_delivery(tx, each, WebhookEvent.NEW_USER, Subject(user=user), facts, is_manual=False, at=at)


def tell_deleted_album(tx: Connection, key: AlbumPk, album: AlbumId, *, by: User, at: datetime) -> None:
    """Tell of an album that this transaction is about to delete, with its webhooks and their logs.

    Parameters
    ----------
    tx
        The transaction.
    key, album
        The album, which is still there.
    by
        Who deletes it; named only if they are a member.
    at
        The current time.
    """
    listening = webhooks.listening(tx, key, WebhookEvent.DELETE_ALBUM)
    if not listening:
        return
    source = webhook_subjects.member(tx, key, by)
    for each in listening:
        payload = {
            "url": each.url,
            "secret": None if each.secret is None else each.secret.decode("ascii"),
            "album": album,
            "event_time": at.isoformat(),
            "source": None if source is None else person_json(source),
        }
        outbox.add_task(tx, FAREWELL, payload, due=at, lane=str(key))
