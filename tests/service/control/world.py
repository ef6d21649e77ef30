"""A small world for the control plane on a real PostgreSQL: people, albums, series in the catalog, services."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from kheops import clock
from kheops.domain.albums import AlbumDraft
from kheops.domain.principals import AlbumCapability, CapabilityPermissions, Person, Principal, UserCapability
from kheops.domain.profiles import Profile
from kheops.domain.resources import AlbumFlags
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import KheopsError
from kheops.identity.keyring import Keyring
from kheops.ids import AlbumId, AlbumPk, CapabilityId, SeriesInstanceUID, StudyInstanceUID
from kheops.services.albums import Albums
from kheops.services.capabilities import Capabilities
from kheops.services.sharing import NamedSource, Selection, Sharing
from kheops.storage import people
from kheops.storage.engine import Database, connection_arguments

__all__ = ["ISSUER", "World", "at_once"]

T = TypeVar("T")

ISSUER = "https://idp.example.org"
_numbers = itertools.count(1)


class World:
    """People, albums and series, and the services that act on them."""

    def __init__(self, url: str) -> None:
        self.database = Database(connection_arguments(url), size=4)
        self.moved = timedelta()
        self.albums = Albums(self.database, self.now, default_issuer=ISSUER)
        self.sharing = Sharing(self.database, self.now, default_issuer=ISSUER)
        self.capabilities = Capabilities(
            self.database, self.now, pepper=Keyring(b"p" * 32), longest=timedelta(365), default_issuer=ISSUER
        )

    def now(self) -> datetime:
        return clock.now() + self.moved

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def outcome(self, work: Coroutine[Any, Any, object]) -> str:
        """Return ``ok`` or the name of the error's class."""
        try:
            asyncio.run(work)
        except KheopsError as error:
            return type(error).__name__
        return "ok"

    def person(self, sub: str, *, iss: str = ISSUER, email: str | None = None, verified: bool = True) -> Person:
        """Create somebody; the e-mail address is ``{sub}@example.org`` unless given."""
        address = f"{sub}@example.org" if email is None else email
        profile = Profile(address, email_verified=verified, name=sub.title())
        record = self.database.run_blocking(
            lambda tx: people.create_user(tx, iss=iss, sub=sub, profile=profile, at=self.now())
        )
        return Person(user=record.user, iss=iss, sub=sub, token_id=f"token-of-{sub}")

    def suspend(self, person: Person) -> None:
        self.execute("UPDATE users SET suspended_at = now() WHERE pk = :pk", pk=person.user)

    def album(self, owner: Person, *members: Person, flags: AlbumFlags | None = None) -> AlbumId:
        """Create an album with plain members."""
        draft = AlbumDraft(name="An album", flags=flags or AlbumFlags())
        view = self.run(self.albums.create(owner, draft, asked=self.use(owner)))
        for member in members:
            self.execute(
                "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:a, :u, false, now())",
                a=view.record.pk,
                u=member.user,
            )
        return view.record.album

    def key(self, album: AlbumId) -> AlbumPk:
        return AlbumPk(self.scalar("SELECT pk FROM albums WHERE id = :id", id=album))

    def inbox(self, person: Person) -> AlbumPk:
        return AlbumPk(self.scalar("SELECT inbox_pk FROM users WHERE pk = :pk", pk=person.user))

    def series(
        self,
        *held_by: AlbumPk,
        study: StudyInstanceUID | None = None,
        origin: Person | AlbumId | None = None,
        modality: str = "CT",
        instances: int = 2,
        state: str = "confirmed",
    ) -> Selection:
        """Put a series on record, held by these albums and inboxes."""
        number = next(_numbers)
        chosen = StudyInstanceUID(f"1.2.3.{number}") if study is None else study
        uid = SeriesInstanceUID(f"1.2.4.{number}")
        pk = self.scalar(
            "INSERT INTO series (study_instance_uid, series_instance_uid, state, origin_user_pk, origin_album_pk, "
            "orphaned_at, lease_until, created_at, updated_at, number_of_instances, modality) "
            "VALUES (:study, :series, CAST(:state AS text), :user, :album, "
            "CASE WHEN CAST(:state AS text) = 'orphan' THEN now() END, "
            "CASE WHEN CAST(:state AS text) = 'reserved' THEN now() END, now(), now(), :instances, :modality) "
            "RETURNING pk",
            study=chosen,
            series=uid,
            state=state,
            user=origin.user if isinstance(origin, Person) else None,
            album=self.key(origin) if isinstance(origin, str) else None,
            instances=instances,
            modality=modality,
        )
        for album in held_by:
            self.execute(
                "INSERT INTO album_series (album_pk, series_pk, added_at) VALUES (:a, :s, now())", a=album, s=pk
            )
        return Selection(chosen, uid)

    def state(self, series: Selection) -> tuple[str, bool]:
        """Return a series's state and whether it has a time of becoming an orphan."""
        row = self.rows(
            "SELECT state, orphaned_at IS NOT NULL FROM series WHERE series_instance_uid = :uid", uid=series.series
        )[0]
        return row[0], row[1]

    def holders(self, series: Selection) -> set[AlbumPk]:
        return {
            AlbumPk(row[0])
            for row in self.rows(
                "SELECT x.album_pk FROM album_series x JOIN series s ON s.pk = x.series_pk "
                "WHERE s.series_instance_uid = :uid",
                uid=series.series,
            )
        }

    def events(self, album: AlbumId) -> list[str]:
        """Return the kinds of an album's events, oldest first."""
        sql = "SELECT mutation_type FROM events WHERE album_pk = :pk ORDER BY pk"
        return [row[0] for row in self.rows(sql, pk=self.key(album))]

    def audit(self) -> list[tuple[str, str | None, list[str]]]:
        """Return kind, subject and series of the audit rows, oldest first."""
        sql = "SELECT kind, subject, series_instance_uids FROM audit ORDER BY pk"
        return [(row[0], row[1], list(row[2])) for row in self.rows(sql)]

    def admins(self, album: AlbumId) -> set[int]:
        sql = "SELECT user_pk FROM album_members WHERE album_pk = :pk AND is_admin"
        return {row[0] for row in self.rows(sql, pk=self.key(album))}

    def members(self, album: AlbumId) -> set[int]:
        return {
            row[0] for row in self.rows("SELECT user_pk FROM album_members WHERE album_pk = :pk", pk=self.key(album))
        }

    def exists(self, album: AlbumId) -> bool:
        return bool(self.scalar("SELECT count(*) FROM albums WHERE id = :id", id=album))

    def user_token(self, owner: Person, permissions: str) -> UserCapability:
        """Return a principal as a token of user scope makes one; ``permissions`` of ``r``, ``w``, ``a``."""
        return UserCapability(owner.user, owner.iss, owner.sub, CapabilityId("cap0000001"), _permissions(permissions))

    def album_token(self, owner: Person, album: AlbumId, permissions: str) -> AlbumCapability:
        """Return a principal as a token of album scope makes one."""
        capability = CapabilityId("cap0000002")
        return AlbumCapability(
            owner.user, owner.iss, owner.sub, capability, _permissions(permissions), self.key(album)
        )

    def use(self, principal: Principal, kind: UseKind = UseKind.SHARE) -> Use:
        user = User(principal.iss, principal.sub, principal.token_id, principal.acting_party)
        return Use(user=user, kind=kind, outcome=Outcome.GRANTED, source_address=None, request_id="request")

    def put(
        self,
        principal: Person | UserCapability | AlbumCapability,
        selection: Selection,
        album: AlbumId,
        source: NamedSource | None = None,
    ) -> str:
        return self.outcome(
            self.sharing.put_into_album(
                principal, selection, album, source=source or NamedSource(), asked=self.use(principal)
            )
        )

    def take(
        self,
        principal: Person | UserCapability | AlbumCapability,
        selection: Selection,
        source: NamedSource | None = None,
    ) -> str:
        return self.outcome(
            self.sharing.put_into_inbox(
                principal, selection, source=source or NamedSource(), asked=self.use(principal)
            )
        )

    def send(
        self,
        principal: Person | UserCapability | AlbumCapability,
        selection: Selection,
        user: str,
        source: NamedSource | None = None,
    ) -> str:
        return self.outcome(
            self.sharing.send_to_user(
                principal, selection, user, source=source or NamedSource(), asked=self.use(principal)
            )
        )

    def drop(
        self,
        principal: Person | UserCapability | AlbumCapability,
        selection: Selection,
        album: AlbumId | None = None,
    ) -> str:
        asked = self.use(principal, UseKind.REMOVE)
        if album is None:
            return self.outcome(self.sharing.remove_from_inbox(principal, selection, asked=asked))
        return self.outcome(self.sharing.remove_from_album(principal, selection, album, asked=asked))

    def execute(self, sql: str, **parameters: object) -> None:
        self.database.run_blocking(lambda tx: tx.execute(text(sql), parameters))

    def rows(self, sql: str, **parameters: object) -> Sequence[Sequence[Any]]:
        return self.database.run_blocking(lambda tx: [tuple(row) for row in tx.execute(text(sql), parameters).all()])

    def scalar(self, sql: str, **parameters: object) -> Any:
        return self.database.run_blocking(lambda tx: tx.execute(text(sql), parameters).scalar_one())

    def empty(self) -> None:
        """Forget everybody and everything."""

        def work(tx: Connection) -> None:
            tables = ("audit_chain", "audit", "events", "series", "capabilities", "albums", "users", "allowance_uses")
            for table in tables:
                tx.execute(text(f"DELETE FROM {table}"))

        self.database.run_blocking(work)
        self.moved = timedelta()

    def close(self) -> None:
        self.database.close()


def at_once(*works: Callable[[], str]) -> list[str]:
    """Run each on a thread of its own, started together, and return what each returned."""
    barrier = threading.Barrier(len(works))
    results = [""] * len(works)

    def run(index: int, work: Callable[[], str]) -> None:
        barrier.wait(10)
        results[index] = work()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def _permissions(letters: str) -> CapabilityPermissions:
    return CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )
