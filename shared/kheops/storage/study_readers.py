"""Who reads a study, as far as somebody who reads it may know.

Two people read a study together if there is a series of it that both read. Somebody who reads only series of it that
the asker does not see is nobody to the asker: that there are such series must not show.
"""

from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import ReadScope
from kheops.ids import StudyInstanceUID, UserPk
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = ["SEEN", "comment_shows", "is_read", "is_read_with", "reads_too", "seen_parameters"]

SEEN: Final = f"seen AS ({VISIBLE_SERIES} AND s.study_instance_uid = :seen_study)"
"""A common table: the series of a study that the asker reads."""


def seen_parameters(scope: ReadScope, study: StudyInstanceUID) -> dict[str, object]:
    """Return the bound parameters of `SEEN`."""
    return {**scope_parameters(scope), "seen_study": study}


def reads_too(user: str) -> str:
    """Return the SQL of whether the person whose key is the expression ``user`` reads one of `SEEN` as well."""
    standing = f"EXISTS (SELECT 1 FROM users ru WHERE ru.pk = {user} AND ru.suspended_at IS NULL)"  # noqa: S608 - constants only
    return f"({standing} AND {_holds(user)})"


def comment_shows(*, seen: str = "seen", reader: str = "CAST(:reader AS bigint)") -> str:
    """Return the SQL of whether a comment ``c`` on a study shows to whoever reads the series of it in ``seen``.

    Those that are by or for the reader do, and of public ones those whose author holds one of the series as well,
    suspended or not. Of an author who reads only what the reader does not see, nothing shows: neither the comment nor
    that there is one. A membership by a group is no such holding, since nobody knows it but for a request.

    Parameters
    ----------
    seen
        A table of keys of series.
    reader
        The key of the person whose private comments count; NULL for public ones only.
    """
    return (
        f"(c.user_pk = {reader} OR c.to_user_pk = {reader} OR (NOT c.is_private AND {_holds('c.user_pk', seen=seen)}))"
    )


def _holds(user: str, *, seen: str = "seen") -> str:
    return (
        f"EXISTS (SELECT 1 FROM album_members rm JOIN album_series rx ON rx.album_pk = rm.album_pk "  # noqa: S608 - constants only
        f"JOIN {seen} rs ON rs.pk = rx.series_pk WHERE rm.user_pk = {user})"
    )


def is_read(tx: Connection, scope: ReadScope, study: StudyInstanceUID) -> bool:
    """Return whether the scope has a series of the study."""
    found: bool = tx.execute(
        text(f"WITH {SEEN} SELECT EXISTS (SELECT 1 FROM seen)"),  # noqa: S608 - constants only
        seen_parameters(scope, study),
    ).scalar_one()
    return found


def is_read_with(tx: Connection, scope: ReadScope, study: StudyInstanceUID, user: UserPk) -> bool:
    """Return whether somebody reads a series of the study that the scope has as well."""
    found: bool = tx.execute(
        text(f"WITH {SEEN} SELECT {reads_too('CAST(:user AS bigint)')}"),
        {**seen_parameters(scope, study), "user": user},
    ).scalar_one()
    return found
