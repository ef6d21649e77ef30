"""Putting series into albums and inboxes, and taking them out (KHEOPS: send, claim, remove)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.mutations import MutationType
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, Denied, ReadScope, SendableSeries, Source, StoreTarget
from kheops.domain.principals import AlbumCapability, Principal, groups_of
from kheops.domain.resources import AlbumRole, OriginAlbum, SeriesRef
from kheops.domain.uses import Use
from kheops.domain.webhooks import ImportSource
from kheops.errors import AlbumNotFoundError, NotFoundError
from kheops.ids import AlbumId, AlbumPk, SeriesInstanceUID, SeriesPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.denials import granted
from kheops.services.references import person_of
from kheops.services.webhook_events import tell_new_series, tell_removed_series
from kheops.storage import albums, audit, holdings, roles
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.holdings import Selection

__all__ = ["NamedSource", "Selection", "Sharing"]


@dataclass(frozen=True, slots=True)
class NamedSource:
    """Where series are to come from, as a request names it; the default is anywhere the caller may send from."""

    album: AlbumId | None = None
    inbox: bool = False


@dataclass(frozen=True, slots=True)
class _Ready:
    """A series that the policy lets go on."""

    pk: SeriesPk
    ref: SendableSeries


class Sharing:
    """Moves pointers to series; bytes never move.

    Every change writes its audit row, and what happens to an album its event, in the transaction of the change.
    Refusals that follow from the token or an album role are made before any UID is looked up; after that there is
    only `NotFoundError`, for hidden and absent alike.

    Parameters
    ----------
    database
        Where pointers are.
    clock
        The current time.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, clock: Clock, *, default_issuer: str) -> None:
        self._database = database
        self._clock = clock
        self._default_issuer = default_issuer

    async def put_into_album(
        self, principal: Principal, selection: Selection, album: AlbumId, *, source: NamedSource, asked: Use
    ) -> None:
        """Put series that the caller may send, or take back, into an album that they may add to.

        Parameters
        ----------
        principal
            Who asks.
        selection
            A study, of which everything goes that may, or one series.
        album
            Where to.
        source
            Where from.
        asked
            The use, as it goes to the audit trail with the series added to it.

        Raises
        ------
        AlbumNotFoundError
            If the album, or the one it is to come from, is hidden or does not exist.
        ForbiddenError
            If the token, or the role in one of the albums, does not include it.
        NotFoundError
            If there is nothing of the selection that the caller may send there.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.ADD_SERIES, album)
            target = _target(principal, roles.role_in(tx, principal.user, key, groups=groups_of(principal)))
            use = replace(asked, subject=album)
            self._put_and_take_back(tx, principal, selection, target=target, source=source, asked=use)

        await self._database.run(work)

    async def put_into_inbox(
        self, principal: Principal, selection: Selection, *, source: NamedSource, asked: Use
    ) -> None:
        """Put series into the caller's own inbox; with a token of album scope, into its album.

        Besides what may be sent, what was uploaded from there and is nobody's now comes back (design: who may add).
        A UID that is not on record is never reserved by this.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError, NotFoundError
            As `put_into_album`.
        """

        def work(tx: Connection) -> None:
            use = asked
            if isinstance(principal, AlbumCapability):
                album = _own_album(tx, principal)
                key = permitted_and_locked(tx, principal, AlbumAction.ADD_SERIES, album)
                role = roles.role_in(tx, principal.user, key, groups=groups_of(principal))
                use = replace(asked, subject=album)
            else:
                role = roles.role_in_inbox(tx, principal.user)
            target = _target(principal, role)
            self._put_and_take_back(tx, principal, selection, target=target, source=source, asked=use)

        await self._database.run(work)

    async def send_to_user(
        self,
        principal: Principal,
        selection: Selection,
        user: str,
        *,
        source: NamedSource,
        asked: Use,
        issuer: str | None = None,
    ) -> None:
        """Put series that the caller may send into somebody's inbox.

        Parameters
        ----------
        principal
            Who asks.
        selection
            A study, of which everything goes that may, or one series.
        user
            A reference to that somebody.
        source
            Where from.
        asked
            The use, as it goes to the audit trail with the series added to it.
        issuer
            Whose ``sub`` the reference is; ``None`` for an address, or the default issuer.

        Raises
        ------
        UserNotFoundError
            If nobody, or more than one person, answers to the reference; asked before any UID.
        AlbumNotFoundError, ForbiddenError, NotFoundError
            As `put_into_album`.
        """

        def work(tx: Connection) -> None:
            scope = _send_scope(tx, principal, source)
            person = person_of(tx, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            ready = _sendable(tx, principal, scope, selection)
            self._put(tx, principal, person.inbox, ready, replace(asked, subject=f"{person.iss} {person.sub}"))

        await self._database.run(work)

    async def share_with_album(
        self, principal: Principal, chosen: Sequence[SeriesRef], album: AlbumId, *, source: NamedSource, asked: Use
    ) -> None:
        """Put chosen series into an album that the caller may add to: all of them, or none.

        Parameters
        ----------
        principal
            Who asks.
        chosen
            The series.
        album
            Where to.
        source
            Where from.
        asked
            The use, as it goes to the audit trail with the series added to it.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            As `put_into_album`.
        NotFoundError
            If the caller may not send one of them, hidden and absent alike; which one is not told.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.ADD_SERIES, album)
            target = _target(principal, roles.role_in(tx, principal.user, key, groups=groups_of(principal)))
            ready = _all_sendable(tx, principal, _send_scope(tx, principal, source), chosen)
            added = set(self._put(tx, principal, target.album, ready, replace(asked, subject=album)))
            new = [each for each in ready if each.ref.series_instance_uid in added]
            at = self._clock()
            for study in dict.fromkeys(each.ref.study_instance_uid for each in new):
                series = [each.ref.series_instance_uid for each in new if each.ref.study_instance_uid == study]
                mutation = Mutation(MutationType.IMPORT_SERIES, study=study, series=series)
                add_event(tx, target.album, mutation, by=principal, at=at)
            sent: dict[SeriesPk, int | None] = {each.pk: None for each in new}
            if sent:
                tell_new_series(tx, sent, target=target.album, by=principal, source=ImportSource.SEND, at=at)

        await self._database.run(work)

    async def share_with_user(
        self,
        principal: Principal,
        chosen: Sequence[SeriesRef],
        user: str,
        *,
        source: NamedSource,
        asked: Use,
        issuer: str | None = None,
    ) -> None:
        """Put chosen series into somebody's inbox, whom ``user`` names as in `send_to_user`: all of them, or none.

        Raises
        ------
        UserNotFoundError
            As `send_to_user`.
        AlbumNotFoundError, ForbiddenError, NotFoundError
            As `share_with_album`.
        """

        def work(tx: Connection) -> None:
            scope = _send_scope(tx, principal, source)
            person = person_of(tx, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            ready = _all_sendable(tx, principal, scope, chosen)
            self._put(tx, principal, person.inbox, ready, replace(asked, subject=f"{person.iss} {person.sub}"))

        await self._database.run(work)

    async def remove_from_album(
        self, principal: Principal, selection: Selection, album: AlbumId, *, asked: Use
    ) -> None:
        """Take series out of an album. What nothing holds any longer becomes an orphan.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token, or the role in the album, does not include it.
        NotFoundError
            If there is nothing of the selection in it.
        """
        await self._database.run(lambda tx: self._remove_from_album(tx, principal, selection, album, asked))

    async def remove_from_inbox(self, principal: Principal, selection: Selection, *, asked: Use) -> None:
        """Take series out of the caller's inbox; with a token of album scope, out of its album.

        Raises
        ------
        ForbiddenError
            If the token does not include it.
        NotFoundError
            If there is nothing of the selection in it, wherever else the caller may see it.
        """

        def work(tx: Connection) -> None:
            if isinstance(principal, AlbumCapability):
                self._remove_from_album(tx, principal, selection, _own_album(tx, principal), asked)
                return
            granted(policy.remove_from_inbox(principal))
            role = roles.role_in_inbox(tx, principal.user)
            if role is None:
                raise NotFoundError
            scope = _read_scope(principal, Source(inbox=True))
            self._remove(tx, scope, selection, role.album, asked)

        await self._database.run(work)

    def _put_and_take_back(
        self,
        tx: Connection,
        principal: Principal,
        selection: Selection,
        *,
        target: StoreTarget,
        source: NamedSource,
        asked: Use,
    ) -> None:
        scope = _send_scope(tx, principal, source)
        ready = _sendable(tx, principal, scope, selection)
        if source == NamedSource():
            ready += _takeable(tx, principal, target, selection)
        added = self._put(tx, principal, target.album, ready, asked)
        if added and isinstance(target.origin, OriginAlbum):
            whole = MutationType.IMPORT_STUDY if selection.series is None else MutationType.IMPORT_SERIES
            at = self._clock()
            mutation = Mutation(whole, study=selection.study, series=added)
            add_event(tx, target.album, mutation, by=principal, at=at)
            sent: dict[SeriesPk, int | None] = {
                each.pk: None for each in ready if each.ref.series_instance_uid in added
            }
            tell_new_series(tx, sent, target=target.album, by=principal, source=ImportSource.SEND, at=at)

    def _put(
        self, tx: Connection, principal: Principal, album: AlbumPk, ready: Sequence[_Ready], asked: Use
    ) -> list[SeriesInstanceUID]:
        """Write the pointers and the audit row; return the series that were not there before."""
        if not ready:
            raise NotFoundError
        at = self._clock()
        added = [
            each.ref.series_instance_uid
            for each in ready
            if holdings.add_series(tx, album=album, series_pk=each.pk, by=principal.user, at=at)
        ]
        _record(tx, asked, [each.ref for each in ready], at)
        return added

    def _remove_from_album(
        self, tx: Connection, principal: Principal, selection: Selection, album: AlbumId, asked: Use
    ) -> None:
        key = permitted_and_locked(tx, principal, AlbumAction.DELETE_SERIES, album)
        scope = _read_scope(principal, Source(album=key))
        removed = self._remove(tx, scope, selection, key, replace(asked, subject=album))
        whole = MutationType.REMOVE_STUDY if selection.series is None else MutationType.REMOVE_SERIES
        at = self._clock()
        mutation = Mutation(whole, study=selection.study, series=removed)
        add_event(tx, key, mutation, by=principal, at=at)
        tell_removed_series(tx, key, selection.study, removed, by=principal, at=at)

    def _remove(
        self, tx: Connection, scope: ReadScope, selection: Selection, album: AlbumPk, asked: Use
    ) -> list[SeriesInstanceUID]:
        """Take away the pointers, write the audit row, and return the series that were there."""
        at = self._clock()
        held = {each.pk: each.facts.ref for each in holdings.find_held(tx, scope, selection)}
        removed = holdings.remove_series(tx, album=album, series=list(held), at=at)
        if not removed:
            raise NotFoundError
        _record(tx, asked, [held[pk] for pk in removed], at)
        return [held[pk].series_instance_uid for pk in removed]


def _target(principal: Principal, role: AlbumRole | None) -> StoreTarget:
    return granted(policy.store_into(principal, role), album=role is None or not role.is_inbox)


def _send_scope(tx: Connection, principal: Principal, named: NamedSource) -> ReadScope:
    album = None
    if named.album is not None:
        album = permitted(tx, principal, AlbumAction.SEND_SERIES, named.album)
    return granted(policy.send_scope(principal, Source(inbox=named.inbox, album=album)))


def _read_scope(principal: Principal, source: Source) -> ReadScope:
    return granted(policy.read_scope(principal, source))


def _sendable(tx: Connection, principal: Principal, scope: ReadScope, selection: Selection) -> list[_Ready]:
    ready = []
    for held in holdings.find_held(tx, scope, selection):
        ref = policy.send_series(principal, held.facts)
        if not isinstance(ref, Denied):
            ready.append(_Ready(held.pk, ref))
    return ready


def _all_sendable(tx: Connection, principal: Principal, scope: ReadScope, chosen: Sequence[SeriesRef]) -> list[_Ready]:
    ready = []
    for held in holdings.find_held_of(tx, scope, chosen):
        ref = policy.send_series(principal, held.facts)
        if not isinstance(ref, Denied):
            ready.append(_Ready(held.pk, ref))
    if len(ready) != len(set(chosen)):
        raise NotFoundError
    return ready


def _takeable(tx: Connection, principal: Principal, target: StoreTarget, selection: Selection) -> list[_Ready]:
    ready = []
    for orphan in holdings.find_orphans(tx, target, principal.user, selection):
        ref = policy.take_back(principal, target, orphan.ref, orphan.record)
        if not isinstance(ref, Denied):
            ready.append(_Ready(orphan.pk, ref))
    return ready


def _own_album(tx: Connection, principal: AlbumCapability) -> AlbumId:
    record = albums.find_album(tx, principal.user, principal.album, groups=groups_of(principal))
    if record is None:
        raise AlbumNotFoundError
    return record.album


def _record(tx: Connection, asked: Use, refs: Sequence[SeriesRef], at: datetime) -> None:
    use = replace(
        asked,
        studies=tuple({ref.study_instance_uid: None for ref in refs}),
        series=tuple(ref.series_instance_uid for ref in refs),
    )
    audit.insert_use(tx, use, at)
