"""People: (iss, sub), their inbox, and finding them by reference."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.mailboxes import mailbox_of
from kheops.domain.named_people import NamedPerson
from kheops.domain.profiles import Profile
from kheops.ids import AlbumPk, UserPk, new_album_id

__all__ = [
    "UserRecord",
    "create_user",
    "find_by_email",
    "find_by_identity",
    "find_named",
    "get_user",
    "is_sub_elsewhere",
    "update_profile",
]

_COLUMNS = "pk, iss, sub, email, email_verified, name, inbox_pk, suspended_at"


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A row of ``users``."""

    user: UserPk
    iss: str
    sub: str
    email: str | None
    email_verified: bool
    name: str | None
    inbox: AlbumPk
    suspended_at: datetime | None


def find_by_identity(tx: Connection, *, iss: str, sub: str) -> UserRecord | None:
    """Return the person who is (iss, sub)."""
    row = tx.execute(
        text(f"SELECT {_COLUMNS} FROM users WHERE iss = :iss AND sub = :sub"),  # noqa: S608 - constants only
        {"iss": iss, "sub": sub},
    ).one_or_none()
    return None if row is None else _record(row)


def find_by_email(tx: Connection, email: str) -> UserRecord | None:
    """Return the one person in good standing with this verified e-mail address; ``None`` if none or several."""
    mailbox = mailbox_of(email)
    if mailbox is None:
        return None
    rows = tx.execute(
        text(
            f"SELECT {_COLUMNS} FROM users "  # noqa: S608 - constants only
            "WHERE lower(email) = :mailbox AND email_verified AND suspended_at IS NULL LIMIT 2"
        ),
        {"mailbox": mailbox},
    ).all()
    return _record(rows[0]) if len(rows) == 1 else None


def find_named(tx: Connection, named: NamedPerson, *, default_issuer: str) -> UserRecord | None:
    """Return the one person whom a request names; ``None`` if nobody, or more than one, answers to that.

    Suspended people answer to their ``sub``, not to their address.
    """
    if named.is_address:
        return find_by_email(tx, named.reference)
    if named.issuer is None and is_sub_elsewhere(tx, iss=default_issuer, sub=named.reference):
        return None
    return find_by_identity(tx, iss=named.issuer_or(default_issuer), sub=named.reference)


_ELSEWHERE: Final = """
    WITH RECURSIVE issuers AS (
        (SELECT iss FROM users ORDER BY iss LIMIT 1)
        UNION ALL
        SELECT (SELECT n.iss FROM users n WHERE n.iss > i.iss ORDER BY n.iss LIMIT 1)
        FROM issuers i WHERE i.iss IS NOT NULL)
    SELECT EXISTS (SELECT 1 FROM issuers i JOIN users u ON u.iss = i.iss AND u.sub = :sub WHERE i.iss <> :iss)
"""
# The few issuers one by one: the index of people begins with the issuer.


def is_sub_elsewhere(tx: Connection, *, iss: str, sub: str) -> bool:
    """Return whether another issuer than ``iss`` has somebody with this ``sub``."""
    found: bool = tx.execute(text(_ELSEWHERE), {"iss": iss, "sub": sub}).scalar_one()
    return found


def get_user(tx: Connection, user: UserPk) -> UserRecord:
    """Return a person by key, who must exist."""
    return _record(
        tx.execute(
            text(f"SELECT {_COLUMNS} FROM users WHERE pk = :pk"),  # noqa: S608 - constants only
            {"pk": user},
        ).one()
    )


def create_user(tx: Connection, *, iss: str, sub: str, profile: Profile, at: datetime) -> UserRecord:
    """Create a person with an inbox, or return the one whom a concurrent request created."""
    tx.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('user' || :iss || ' ' || :sub, 0))"),
        {"iss": iss, "sub": sub},
    )
    existing = find_by_identity(tx, iss=iss, sub=sub)
    if existing is not None:
        return existing
    inbox = tx.execute(
        text(
            "INSERT INTO albums (id, kind, name, created_at, last_event_at, add_user, download_series, send_series, "
            "delete_series, add_series, write_comments) "
            "VALUES (:id, 'inbox', 'inbox', :at, :at, false, true, true, true, true, false) RETURNING pk"
        ),
        {"id": new_album_id(), "at": at},
    ).scalar_one()
    user = tx.execute(
        text(
            "INSERT INTO users (iss, sub, email, email_verified, name, inbox_pk, created_at) "
            "VALUES (:iss, :sub, :email, :email_verified, :name, :inbox, :at) RETURNING pk"
        ),
        {
            "iss": iss,
            "sub": sub,
            "email": _email(profile),
            "email_verified": _is_verified(profile),
            "name": profile.name,
            "inbox": inbox,
            "at": at,
        },
    ).scalar_one()
    tx.execute(
        text("INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:inbox, :user, false, :at)"),
        {"inbox": inbox, "user": user, "at": at},
    )
    return get_user(tx, UserPk(user))


def update_profile(tx: Connection, user: UserPk, profile: Profile) -> UserRecord:
    """Set name and e-mail address as the issuer says now."""
    tx.execute(
        text("UPDATE users SET email = :email, email_verified = :email_verified, name = :name WHERE pk = :pk"),
        {"email": _email(profile), "email_verified": _is_verified(profile), "name": profile.name, "pk": user},
    )
    return get_user(tx, user)


def _email(profile: Profile) -> str | None:
    return (mailbox_of(profile.email) or profile.email.strip()) if profile.email else None


def _is_verified(profile: Profile) -> bool:
    return profile.email_verified and profile.email is not None and mailbox_of(profile.email) is not None


def _record(row: Row[Any]) -> UserRecord:
    return UserRecord(
        user=UserPk(row.pk),
        iss=row.iss,
        sub=row.sub,
        email=row.email,
        email_verified=row.email_verified,
        name=row.name,
        inbox=AlbumPk(row.inbox_pk),
        suspended_at=row.suspended_at,
    )
