"""Browser sessions: begun at login, found at each request, ended by logout, by time, or with the person's standing."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.principals import Person
from kheops.domain.profiles import Profile
from kheops.domain.uses import Use, User
from kheops.errors import InvalidTokenError
from kheops.identity.login import LoggedIn
from kheops.identity.sessions import SessionSecrets
from kheops.services.people import Registry
from kheops.storage import audit, sessions, viewer_tokens
from kheops.storage.engine import Database
from kheops.storage.people import UserRecord
from kheops.storage.sessions import SessionRecord

__all__ = ["ABSOLUTE_LIFETIME", "IDLE_LIFETIME", "BegunSession", "EndedSession", "Session", "Sessions"]

IDLE_LIFETIME: Final = timedelta(minutes=30)
"""A session that nobody uses for so long has ended; NIST SP 800-63B section 4.2.3 allows an hour at most."""
ABSOLUTE_LIFETIME: Final = timedelta(hours=12)
"""No session lasts longer, however much it is used: one working day."""
_TOUCHED_EVERY: Final = timedelta(minutes=1)
"""How often its use is written at most; so a session may end up to a minute before it has been idle long enough."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good now."""

    person: Person
    display_name: str
    """What the person is called on their own pages."""
    form_token: str = field(repr=False)
    """What each of its forms must carry."""
    id_hash: bytes = field(repr=False)
    """Under what it is kept; a viewer token made from it hangs on that."""


@dataclass(frozen=True, slots=True)
class BegunSession:
    """A new session and its secret, which goes into the browser's cookie and nowhere else."""

    session: Session
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndedSession:
    """What logging out at the issuer as well needs."""

    iss: str
    id_token: str | None = field(repr=False)


class Sessions:
    """Keeps the sessions of browsers.

    Parameters
    ----------
    database
        Where they are kept.
    clock
        The current time.
    registry
        Knows people.
    secrets
        Hashes and seals.
    """

    def __init__(self, database: Database, clock: Clock, *, registry: Registry, secrets: SessionSecrets) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._secrets = secrets

    async def begin(self, logged_in: LoggedIn, *, asked: Use, replaced: str | None) -> BegunSession:
        """Begin a session for somebody who has just logged in; its secret is always a new one.

        Parameters
        ----------
        logged_in
            Who, by the word of their issuer.
        asked
            The use; whose it is gets filled in.
        replaced
            The secret of the session that the browser had before; that one ends.

        Raises
        ------
        InvalidTokenError
            If the person is suspended.
        DatabaseUnavailableError
            If the database does not answer.
        """
        secret = self._secrets.new_secret()
        id_hash = self._secrets.hash_secret(secret)
        assert id_hash is not None
        name = _name(id_hash)
        profile = Profile(email=logged_in.email, email_verified=logged_in.email_verified, name=logged_in.name)
        user = User(logged_in.iss, logged_in.sub, name)
        record = await self._registry.login(user, profile, request_id=asked.request_id)
        at = self._clock()
        groups = self._registry.groups(logged_in.iss, logged_in.claims)
        replaced_hashes = () if replaced is None else self._hashes(replaced)
        sealed_id_token = self._secrets.seal_id_token(logged_in.id_token)

        def begin(tx: Connection) -> None:
            for replaced_hash in replaced_hashes:
                sessions.delete_session(tx, id_hash=replaced_hash)
                viewer_tokens.revoke_of_session(tx, session=replaced_hash, at=at)
            sessions.delete_ended(tx, at=at, seen_since=at - IDLE_LIFETIME)
            begun = sessions.create_session(
                tx,
                id_hash=id_hash,
                user=record.user,
                sealed_id_token=sealed_id_token,
                groups=groups,
                at=at,
                expires_at=at + ABSOLUTE_LIFETIME,
            )
            if not begun:
                raise InvalidTokenError("suspended")
            audit.insert_use(tx, replace(asked, user=user), at)

        await self._database.run(begin)
        person = _person(record, id_hash, groups, at + ABSOLUTE_LIFETIME)
        return BegunSession(_session(self._secrets, record, person, secret, id_hash), secret)

    async def find(self, secret: str) -> Session | None:
        """Return the session of a browser; ``None`` if there is none, it has ended, or its person is suspended.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        for keyed in self._secrets.accepted:
            id_hash = keyed.hash_secret(secret)
            if id_hash is None:
                return None
            record = await self._database.run(partial(_seen, id_hash=id_hash, at=self._clock()))
            if record is not None:
                person = _person(record, id_hash, record.groups, record.expires_at)
                return _session(keyed, record, person, secret, id_hash)
        return None

    async def end(self, secret: str, *, asked: Use) -> EndedSession | None:
        """End a session for good, and the viewer tokens made from it; ``None`` if there is none.

        Parameters
        ----------
        secret
            Its secret.
        asked
            The use; whose it is gets filled in.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer; then the session goes on.
        """
        for id_hash in self._hashes(secret):
            record = await self._database.run(partial(_ended, id_hash=id_hash, asked=asked, at=self._clock()))
            if record is not None:
                sealed = record.sealed_id_token
                return EndedSession(record.iss, None if sealed is None else self._secrets.open_id_token(sealed))
        return None

    def _hashes(self, secret: str) -> list[bytes]:
        hashed = (keyed.hash_secret(secret) for keyed in self._secrets.accepted)
        return [each for each in hashed if each is not None]


def _session(
    secrets: SessionSecrets, record: SessionRecord | UserRecord, person: Person, secret: str, id_hash: bytes
) -> Session:
    return Session(person, record.name or record.email or record.sub, secrets.form_token(secret), id_hash)


def _person(record: SessionRecord | UserRecord, id_hash: bytes, groups: frozenset[str], until: datetime) -> Person:
    return Person(
        user=record.user,
        iss=record.iss,
        sub=record.sub,
        token_id=_name(id_hash),
        groups=groups,
        groups_until=until,
    )


def _seen(tx: Connection, *, id_hash: bytes, at: datetime) -> SessionRecord | None:
    record = sessions.find_session(tx, id_hash=id_hash, at=at, seen_since=at - IDLE_LIFETIME)
    if record is not None and at - record.last_seen_at >= _TOUCHED_EVERY:
        sessions.touch_session(tx, id_hash=id_hash, at=at)
    return record


def _ended(tx: Connection, *, id_hash: bytes, asked: Use, at: datetime) -> SessionRecord | None:
    record = sessions.delete_session(tx, id_hash=id_hash)
    viewer_tokens.revoke_of_session(tx, session=id_hash, at=at)
    if record is not None:
        user = User(record.iss, record.sub, _name(id_hash))
        audit.insert_use(tx, replace(asked, user=user), at)
    return record


def _name(id_hash: bytes) -> str:
    """Return what the audit trail calls a session: a part of its hash, from which nobody gets to its secret."""
    return f"session:{id_hash[:8].hex()}"
