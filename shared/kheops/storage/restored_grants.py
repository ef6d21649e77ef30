"""Applying changes of grants to a restored database: what takes away first, and then how each thing was at last.

Applying a change again changes nothing, so a run that ended in between is made good by another.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from kheops.domain.grant_log import GrantEntity
from kheops.domain.profiles import Profile
from kheops.domain.resources import SeriesRef
from kheops.ids import AlbumPk, SeriesInstanceUID, SeriesPk, StudyInstanceUID, UserPk
from kheops.storage import erasure, holdings, people, series_rows, suspension

__all__ = ["FINAL_ORDER", "apply_ends", "apply_final"]

_REASON: Final = "Suspended before the restoration of the database; the reason is in the audit trail of that time."
_FLAGS: Final = ("add_user", "download_series", "send_series", "delete_series", "add_series", "write_comments")
_KEY: Final = "(change ->> 'key') COLLATE \"C\""
_WIDE: Final = frozenset({"person", "album", "series", "webhook", "report-provider"})
"""Whose end, whatever came after it, ended what others held by it: these are applied one by one, first of all."""

FINAL_ORDER: Final = (
    GrantEntity.PERSON,
    GrantEntity.ALBUM,
    GrantEntity.SERIES,
    GrantEntity.MEMBER,
    GrantEntity.GROUP,
    GrantEntity.HELD,
)


def apply_ends(tx: Connection, *, at: datetime, limit: int) -> int:
    """Apply ends of people, albums, series and destinations, and suspensions; return how many lines were taken up.

    They are applied each: a series that was purged and stored again by somebody else is not its former holders'.
    """
    rows = tx.execute(
        text(
            "SELECT timeline, number, change FROM restored_changes WHERE NOT is_applied "
            "AND change ->> 'entity' = ANY (:wide) ORDER BY timeline, number LIMIT :limit"
        ),
        {"wide": sorted(_WIDE), "limit": limit},
    ).all()
    for row in rows:
        _end(tx, row.change, at)
        tx.execute(
            text("UPDATE restored_changes SET is_applied = true WHERE timeline = :timeline AND number = :number"),
            {"timeline": row.timeline, "number": row.number},
        )
    return len(rows)


def apply_final(
    tx: Connection, entity: GrantEntity, *, after: str, at: datetime, limit: int
) -> tuple[str | None, int]:
    """Bring things of one kind into the state that the log has last of them.

    Parameters
    ----------
    tx
        The transaction.
    entity
        The kind; in the order of `FINAL_ORDER`.
    after
        The key behind which to begin, as this function returned it; at first an empty text.
    at
        The current time.
    limit
        How many things at most.

    Returns
    -------
    last : str or None
        The last key; ``None`` when there was nothing left.
    left : int
        Things that could not be restored, since what they belong to is not there.
    """
    tx.execute(text("SET LOCAL statement_timeout = '10min'"))
    rows = tx.execute(
        text(
            f"SELECT DISTINCT ON ({_KEY}) {_KEY} AS key, timeline, number, change FROM restored_changes "  # noqa: S608 - a constant
            f"WHERE change ->> 'entity' = :entity AND {_KEY} > :after "
            f"ORDER BY {_KEY}, timeline DESC, number DESC LIMIT :limit"
        ),
        {"entity": entity.value, "after": after, "limit": limit},
    ).all()
    left = 0
    for row in rows:
        key, state = row.change["key"], row.change["state"]
        if state is not None and _is_ended(tx, _owners(entity, key), timeline=row.timeline, number=row.number):
            # It went with that. Who came back later under the same name has no more than the log has since then.
            state = None
        if not _APPLY[entity](tx, key, state, at):
            left += 1
        tx.execute(
            text(
                f"UPDATE restored_changes SET is_applied = true WHERE {_KEY} = :key "  # noqa: S608 - a constant
                "AND change ->> 'entity' = :entity AND NOT is_applied"
            ),
            {"key": row.key, "entity": entity.value},
        )
    return (rows[-1].key, left) if rows else (None, 0)


_State = Mapping[str, Any] | None


def _end(tx: Connection, change: Mapping[str, Any], at: datetime) -> None:
    key, state = change["key"], change["state"]
    match GrantEntity(change["entity"]):
        case GrantEntity.PERSON:
            _end_person(tx, key, state, at)
        case GrantEntity.ALBUM if state is None:
            album = _album(tx, key[0])
            if album is not None:
                _empty(tx, album, at)
                tx.execute(text("DELETE FROM albums WHERE pk = :pk AND kind = 'album'"), {"pk": album})
        case GrantEntity.SERIES if state is None:
            tx.execute(text("DELETE FROM series WHERE series_instance_uid = :uid"), {"uid": key[0]})
        case GrantEntity.WEBHOOK if state is None:
            tx.execute(text("DELETE FROM webhooks WHERE id = :id"), {"id": key[0]})
        case GrantEntity.WEBHOOK:
            # Where it leads by now is not known here.
            tx.execute(text("UPDATE webhooks SET enabled = false WHERE id = :id"), {"id": key[0]})
        case GrantEntity.REPORT_PROVIDER:
            tx.execute(
                text("UPDATE report_providers SET removed_at = :at WHERE client_id = :id AND removed_at IS NULL"),
                {"at": at, "id": key[0]},
            )
        case _:
            return


def _end_person(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> None:
    user = _user(tx, key[0], key[1])
    if user is None:
        return
    if state is None:
        _empty(tx, people.get_user(tx, user).inbox, at)
        erasure.delete_person(tx, user, iss=key[0], sub=key[1], at=at)
    elif state["suspended"]:
        suspension.suspend(tx, user, reason=_REASON, at=at)


def _person(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    if state is None:
        return True
    iss, sub = key
    user = people.create_user(tx, iss=iss, sub=sub, profile=Profile(None, email_verified=False, name=None), at=at).user
    # Their next login says what address is theirs by now.
    tx.execute(text("UPDATE users SET email_verified = false WHERE pk = :pk"), {"pk": user})
    if state["suspended"]:
        suspension.suspend(tx, user, reason=_REASON, at=at)
    else:
        suspension.restore(tx, user, at=at)
    return True


def _album_state(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    if state is None:
        return True
    names, places = ", ".join(_FLAGS), ", ".join(f":{name}" for name in _FLAGS)
    renewed = ", ".join(f"{name} = excluded.{name}" for name in _FLAGS)
    tx.execute(
        text(
            f"INSERT INTO albums (id, kind, name, created_at, last_event_at, {names}) "  # noqa: S608 - constants only
            f"VALUES (:id, 'album', 'Restored album', :at, :at, {places}) ON CONFLICT (id) DO UPDATE SET {renewed}"
        ),
        {"id": key[0], "at": at, **{name: bool(state[name]) for name in _FLAGS}},
    )
    return True


def _series(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    if state is None:
        return True
    ref = SeriesRef(StudyInstanceUID(state["study"]), SeriesInstanceUID(key[0]))
    # What was stored since is in the store alone: reconcile fills the row.
    series_rows.catalog_orphan(tx, ref, at)
    origin = state["origin"]
    album = _album(tx, origin[1]) if origin and origin[0] == "album" else None
    user = _user(tx, origin[1], origin[2]) if origin and origin[0] == "inbox" else None
    is_ours = album is not None or user is not None
    pk = tx.execute(
        text(
            "UPDATE series SET origin_album_pk = CAST(:album AS bigint), origin_user_pk = CAST(:user AS bigint), "
            "legal_hold = CAST(:hold AS boolean), "
            "legal_hold_at = CASE WHEN CAST(:hold AS boolean) THEN coalesce(legal_hold_at, :at) END, "
            "legal_hold_reason = CASE WHEN CAST(:hold AS boolean) THEN coalesce(legal_hold_reason, :why) END, "
            "confirmed_at = CASE WHEN CAST(:ours AS boolean) THEN coalesce(confirmed_at, :at) ELSE confirmed_at END, "
            "state = CASE WHEN state = 'reserved' THEN 'orphan' ELSE state END, "
            "orphaned_at = CASE WHEN state = 'reserved' THEN :at ELSE orphaned_at END, dirty = true "
            "WHERE series_instance_uid = :uid AND study_instance_uid = :study RETURNING pk"
        ),
        {
            "album": album,
            "user": user,
            "hold": bool(state["legal_hold"]),
            "ours": is_ours,
            "why": "Set before the restoration of the database.",
            "at": at,
            "uid": ref.series_instance_uid,
            "study": ref.study_instance_uid,
        },
    ).scalar_one_or_none()
    if pk is not None and state["is_deleting"]:
        tx.execute(text("DELETE FROM album_series WHERE series_pk = :pk"), {"pk": pk})
        tx.execute(text("UPDATE series SET state = 'deleting' WHERE pk = :pk"), {"pk": pk})
    return pk is not None


def _member(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    album, user = _album(tx, key[0]), _user(tx, key[1], key[2])
    if album is None or user is None:
        return state is None
    if state is None:
        tx.execute(
            text("DELETE FROM album_members WHERE album_pk = :album AND user_pk = :user"),
            {"album": album, "user": user},
        )
        return True
    tx.execute(
        text(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:album, :user, :admin, :at) "
            "ON CONFLICT (user_pk, album_pk) DO UPDATE SET is_admin = excluded.is_admin"
        ),
        {"album": album, "user": user, "admin": bool(state["administrator"]), "at": at},
    )
    return True


def _group(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    album = _album(tx, key[0])
    if album is None:
        return state is None
    parameters = {"album": album, "iss": key[1], "value": key[2]}
    if state is None:
        tx.execute(
            text("DELETE FROM album_groups WHERE album_pk = :album AND iss = :iss AND value = :value"), parameters
        )
    else:
        tx.execute(
            text(
                "INSERT INTO album_groups (album_pk, iss, value, added_at) VALUES (:album, :iss, :value, :at) "
                "ON CONFLICT (album_pk, iss, value) DO NOTHING"
            ),
            {**parameters, "at": at},
        )
    return True


def _held(tx: Connection, key: Sequence[str], state: _State, at: datetime) -> bool:
    if key[0] == "album":
        album = _album(tx, key[1])
    else:
        user = _user(tx, key[1], key[2])
        album = None if user is None else people.get_user(tx, user).inbox
    series = tx.execute(
        text("SELECT pk FROM series WHERE series_instance_uid = :uid"), {"uid": key[-1]}
    ).scalar_one_or_none()
    if album is None or series is None:
        return state is None
    if state is None:
        holdings.remove_series(tx, album=album, series=[SeriesPk(series)], at=at)
    else:
        holdings.add_series(tx, album=album, series_pk=SeriesPk(series), by=None, at=at)
    return True


_APPLY: Final = {
    GrantEntity.PERSON: _person,
    GrantEntity.ALBUM: _album_state,
    GrantEntity.SERIES: _series,
    GrantEntity.MEMBER: _member,
    GrantEntity.GROUP: _group,
    GrantEntity.HELD: _held,
}


def _owners(entity: GrantEntity, key: Sequence[str]) -> Sequence[tuple[GrantEntity, Sequence[str]]]:
    """Return what something goes with: its own end is not in the log then."""
    match entity:
        case GrantEntity.MEMBER:
            return (GrantEntity.ALBUM, key[:1]), (GrantEntity.PERSON, key[1:])
        case GrantEntity.GROUP:
            return ((GrantEntity.ALBUM, key[:1]),)
        case GrantEntity.HELD:
            holder = GrantEntity.ALBUM if key[0] == "album" else GrantEntity.PERSON
            return (holder, key[1:-1]), (GrantEntity.SERIES, key[-1:])
        case _:
            return ()


def _is_ended(
    tx: Connection, owners: Sequence[tuple[GrantEntity, Sequence[str]]], *, timeline: str, number: int
) -> bool:
    """Return whether one of ``owners`` ended after a line of the log, whatever came of it later."""
    return any(
        (row.timeline, row.number) > (timeline, number)
        # Compared here: in SQL the planner would rather read all lines from that one on than the few of the owner.
        for entity, key in owners
        for row in tx.execute(
            text(
                "SELECT timeline, number FROM restored_changes WHERE change ->> 'entity' = :entity "  # noqa: S608 - a constant
                f"AND {_KEY} = CAST(CAST(:key AS jsonb) AS text) AND change ->> 'state' IS NULL"
            ),
            {"entity": entity.value, "key": json.dumps(list(key))},
        )
    )


def _user(tx: Connection, iss: str, sub: str) -> UserPk | None:
    found = people.find_by_identity(tx, iss=iss, sub=sub)
    return None if found is None else found.user


def _album(tx: Connection, album: str) -> AlbumPk | None:
    found = tx.execute(
        text("SELECT pk FROM albums WHERE id = :id AND kind = 'album'"), {"id": album}
    ).scalar_one_or_none()
    return None if found is None else AlbumPk(found)


def _empty(tx: Connection, album: AlbumPk, at: datetime) -> None:
    keys = tx.execute(text("SELECT series_pk FROM album_series WHERE album_pk = :album"), {"album": album}).scalars()
    holdings.remove_series(tx, album=album, series=[SeriesPk(key) for key in keys], at=at)
