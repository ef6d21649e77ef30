"""Comments on albums and on studies.

A study has no owner and no row: what was said of it is read by whoever reads a series of it. Its comments go with its
last series, by a trigger of the database, so that nobody who uses the UID later finds them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum, ReadScope
from kheops.ids import StudyInstanceUID, UserPk
from kheops.storage.participants import PARTICIPANT_WIDTH, Participant, participant_columns, participant_of
from kheops.storage.study_readers import SEEN, comment_shows, reads_too, seen_parameters

__all__ = ["Comment", "add_to_album", "add_to_study", "list_of_study", "readable_comment"]


def readable_comment(reader: str = "CAST(:reader AS bigint)") -> str:
    """Return the SQL of whether a comment ``c`` on an album is public, or by or for the person of key ``reader``.

    For NULL, only what is public is readable. Comments on studies are `kheops.storage.study_readers.comment_shows`'s.
    """
    return f"(NOT c.is_private OR c.user_pk = {reader} OR c.to_user_pk = {reader})"


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with its people as whoever reads it may know them."""

    at: datetime
    comment: str
    is_private: bool
    author: Participant | None
    """``None`` for somebody who was erased."""
    addressee: Participant | None


_OTHERS: Final = 3
"""Columns before those of people."""
_OF_STUDY: Final = f"FROM comments c WHERE c.study_instance_uid = :seen_study AND {comment_shows()}"
_AUTHOR: Final = participant_columns("f", can_access=reads_too("f.pk"))
_ADDRESSEE: Final = participant_columns("t", can_access=reads_too("t.pk"))
_LIST: Final = f"""
    WITH {SEEN}
    SELECT c.at, c.comment, c.is_private, {_AUTHOR}, {_ADDRESSEE}
    FROM (SELECT c.* {_OF_STUDY} ORDER BY c.at DESC, c.pk DESC LIMIT :limit OFFSET :offset) c
    LEFT JOIN users f ON f.pk = c.user_pk
    LEFT JOIN users t ON t.pk = c.to_user_pk
    ORDER BY c.at DESC, c.pk DESC
"""  # noqa: S608 - constants only


def add_to_album(
    tx: Connection, album: PermittedAlbum, comment: str, *, by: UserPk, to: UserPk | None, at: datetime
) -> None:
    """Add a comment to an album; with ``to`` only that person and its author read it."""
    tx.execute(
        text(
            "INSERT INTO comments (album_pk, at, user_pk, is_private, to_user_pk, comment) "
            "VALUES (:album, :at, :by, CAST(:to AS bigint) IS NOT NULL, CAST(:to AS bigint), :comment)"
        ),
        {"album": album, "at": at, "by": by, "to": to, "comment": comment},
    )


def add_to_study(
    tx: Connection,
    scope: ReadScope,
    study: StudyInstanceUID,
    comment: str,
    *,
    by: UserPk,
    to: UserPk | None,
    at: datetime,
) -> bool:
    """Add a comment to a study; ``False``, and none, unless ``scope`` has a series of it."""
    added = tx.execute(
        text(
            f"WITH {SEEN} INSERT INTO comments (study_instance_uid, at, user_pk, is_private, to_user_pk, comment) "  # noqa: S608 - constants only
            "SELECT :seen_study, :at, :by, CAST(:to AS bigint) IS NOT NULL, CAST(:to AS bigint), :comment "
            "WHERE EXISTS (SELECT 1 FROM seen)"
        ),
        {**seen_parameters(scope, study), "at": at, "by": by, "to": to, "comment": comment},
    )
    return added.rowcount == 1


def list_of_study(
    tx: Connection, scope: ReadScope, study: StudyInstanceUID, *, reader: UserPk | None, page: Page
) -> tuple[list[Comment], int]:
    """Return a page of a study's comments that show to the caller, newest first, and how many they are in all.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller reads; whether a series of the study is in it was asked before.
    study
        The study.
    reader
        Whose private comments count; ``None`` for public ones only.
    page
        Which part.
    """
    parameters = {**seen_parameters(scope, study), "reader": reader}
    rows = tx.execute(text(_LIST), {**parameters, "limit": page.limit, "offset": page.offset}).all()
    total: int = tx.execute(text(f"WITH {SEEN} SELECT count(*) {_OF_STUDY}"), parameters).scalar_one()
    return [
        Comment(
            at=row[0],
            comment=row[1],
            is_private=row[2],
            author=participant_of(row[_OTHERS : _OTHERS + PARTICIPANT_WIDTH]),
            addressee=participant_of(row[_OTHERS + PARTICIPANT_WIDTH :]),
        )
        for row in rows
    ], total
