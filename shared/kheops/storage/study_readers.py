"""Who reads a study, as far as somebody who reads it may know.

Two people read a study together if there is a series of it that both read. Somebody who reads only series of it that
the asker does not see is nobody to the asker: that there are such series must not show.
"""

from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import ReadScope
from kheops.ids import StudyInstanceUID, UserPk
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = ["SEEN", "is_read", "is_read_with", "reads_too", "seen_parameters"]

SEEN: Final = f"seen AS ({VISIBLE_SERIES} AND s.study_instance_uid = :seen_study)"
"""A common table: the series of a study that the asker reads."""


def seen_parameters(scope: ReadScope, study: StudyInstanceUID) -> dict[str, object]:
    """Return the bound parameters of `SEEN`."""
    return {**scope_parameters(scope), "seen_study": study}


def reads_too(user: str) -> str:
    """Return the SQL of whether the person whose key is the expression ``user`` reads one of `SEEN` as well."""
    return (
        "EXISTS (SELECT 1 FROM album_members rm "  # noqa: S608 - constants only
        "JOIN users ru ON ru.pk = rm.user_pk AND ru.suspended_at IS NULL "
        "JOIN album_series rx ON rx.album_pk = rm.album_pk JOIN seen ON seen.pk = rx.series_pk "
        f"WHERE rm.user_pk = {user})"
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
