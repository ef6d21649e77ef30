"""Searching for people among those whom somebody has to do with; there is no way to search all of them."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum, ReadScope
from kheops.ids import StudyInstanceUID, UserPk
from kheops.storage.study_readers import SEEN, reads_too, seen_parameters

__all__ = ["Acquaintance", "is_member", "search", "share_an_album"]


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """Somebody found."""

    email: str | None
    """Only an address that an issuer vouches for; others may be anybody's."""
    name: str | None
    iss: str
    sub: str


_ALBUM: Final = "EXISTS (SELECT 1 FROM album_members m WHERE m.user_pk = p.pk AND m.album_pk = :album)"
_SHARED: Final = """
    EXISTS (
        SELECT 1 FROM album_members o JOIN albums a ON a.pk = o.album_pk AND a.kind = 'album'
        JOIN album_members m ON m.album_pk = a.pk WHERE o.user_pk = :asker AND m.user_pk = p.pk)
"""
_MATCHES: Final = """
    p.pk <> :asker AND p.suspended_at IS NULL
    AND (p.name ILIKE :anywhere OR (p.email_verified AND p.email ILIKE :address))
"""


def search(
    tx: Connection,
    wanted: str,
    *,
    asker: UserPk,
    album: PermittedAlbum | None,
    study: tuple[ReadScope, StudyInstanceUID] | None,
    page: Page,
) -> tuple[list[Acquaintance], int]:
    """Return a page of people by a part of their name or address, and how many there are in all; never the asker.

    Parameters
    ----------
    tx
        The transaction.
    wanted
        A part of the name, or of what an e-mail address has before the ``@``; with an ``@`` in it, an address's
        beginning. Case is of no matter.
    asker
        Who asks.
    album
        An album of which they must be members.
    study
        What the asker reads, and a study: they must read a series of it that the asker reads, and share an album with
        the asker. That must be so without album and study as well.
    page
        Which part; ordered by address.
    """
    conditions = [_MATCHES]
    parameters: dict[str, object] = {
        "asker": asker,
        "anywhere": f"%{_literal(wanted)}%",
        "address": f"{_literal(wanted)}%" if "@" in wanted else f"%{_literal(wanted)}%@%",
    }
    common = ""
    if album is not None:
        conditions.append(_ALBUM)
        parameters["album"] = album
    if study is not None:
        common = f"WITH {SEEN}"
        conditions.append(reads_too("p.pk"))
        parameters |= seen_parameters(*study)
    if album is None:
        # By a study alone, a hit would tell a stranger's name a letter at a time.
        conditions.append(_SHARED)
    body = f"FROM users p WHERE {' AND '.join(conditions)}"
    rows = tx.execute(
        text(
            f"{common} SELECT CASE WHEN p.email_verified THEN lower(p.email) END AS email, p.name, p.iss, p.sub "
            f"{body} ORDER BY email NULLS LAST, p.pk LIMIT :limit OFFSET :offset"
        ),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(text(f"{common} SELECT count(*) {body}"), parameters).scalar_one()
    return [_acquaintance(row) for row in rows], total


def share_an_album(tx: Connection, one: UserPk, other: UserPk) -> bool:
    """Return whether two people are members of one album, as `search` asks of those whom it finds."""
    found: bool = tx.execute(
        text(f"SELECT EXISTS (SELECT 1 FROM users p WHERE p.pk = :other AND {_SHARED})"),  # noqa: S608 - constants only
        {"asker": one, "other": other},
    ).scalar_one()
    return found


def is_member(tx: Connection, album: PermittedAlbum, user: UserPk) -> bool:
    """Return whether somebody is a member of an album."""
    found: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM album_members WHERE album_pk = :album AND user_pk = :user)"),
        {"album": album, "user": user},
    ).scalar_one()
    return found


_SPECIAL: Final = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


def _literal(wanted: str) -> str:
    """Return a text as a pattern of LIKE that matches nothing else."""
    return wanted.translate(_SPECIAL)


def _acquaintance(row: Row[Any]) -> Acquaintance:
    return Acquaintance(row.email, row.name, row.iss, row.sub)
