"""Webhooks of albums: for administrators of the album, as people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.albums import Page
from kheops.domain.mutations import MutationType
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, PermittedAlbum
from kheops.domain.principals import Principal
from kheops.domain.uses import Use
from kheops.domain.webhooks import MOST_WEBHOOKS, ImportSource, WebhookDraft, WebhookEdit, WebhookEvent
from kheops.errors import (
    BadFormParameterError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    UserNotFoundError,
    WebhookNotFoundError,
)
from kheops.ids import AlbumId, SeriesInstanceUID, StudyInstanceUID, WebhookDeliveryId, WebhookId
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.allowances import spend
from kheops.storage import audit, members, webhook_deliveries, webhook_subjects, webhooks
from kheops.storage.allowances import Allowance
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.webhook_deliveries import Attempt, DeliveryRecord, Subject
from kheops.storage.webhooks import WebhookRecord

if TYPE_CHECKING:  # for the types alone: cold start counts
    from kheops.identity.sealed_keys import KeySealer
    from kheops.outbound.guard import OutboundGuard

__all__ = ["TRIGGERS_BY_PERSON", "TRIGGERS_OF_ALBUM", "WebhookView", "Webhooks"]

TRIGGERS_OF_ALBUM: Final = Allowance("triggers-of", most=30, within=timedelta(minutes=10))
"""Requests that administrators of one album send to its webhooks by hand."""
TRIGGERS_BY_PERSON: Final = Allowance("triggers-by", most=60, within=timedelta(minutes=10))
"""Requests that one person sends by hand, in however many albums."""
_LAST: Final = 5
"""Deliveries that KHEOPS shows beside each webhook."""


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook as administrators see it: never its secret."""

    record: WebhookRecord
    last: Sequence[tuple[WebhookDeliveryId, Attempt | None]]
    deliveries: Sequence[DeliveryRecord] | None = None
    """A page of its log, where one was asked for."""


@dataclass(frozen=True, slots=True)
class _Done:
    """A change of a webhook, inside its transaction."""

    tx: Connection
    by: Principal
    key: PermittedAlbum
    album: AlbumId
    webhook: WebhookId


class Webhooks:
    """Webhooks.

    Every change locks the album, and writes its event and audit row in its own transaction.

    Parameters
    ----------
    database, clock
        Where webhooks are, and the current time.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    guard
        Says which URLs could be reached at all.
    sealer
        Seals secrets for keeping.
    """

    def __init__(
        self, database: Database, clock: Clock, *, default_issuer: str, guard: "OutboundGuard", sealer: "KeySealer"
    ) -> None:
        self._database = database
        self._clock = clock
        self._default_issuer = default_issuer
        self._guard = guard
        self._sealer = sealer

    async def create(self, principal: Principal, album: AlbumId, draft: WebhookDraft, *, asked: Use) -> WebhookView:
        """Create a webhook and return it.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        BadFormParameterError
            If the URL is not one that can be reached.
        ConflictError
            If the album has as many as it may have.
        """

        def work(tx: Connection) -> WebhookView:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            self._check(draft.url)
            if webhooks.number_of_webhooks(tx, key) >= MOST_WEBHOOKS:
                raise ConflictError(f"An album has at most {MOST_WEBHOOKS} webhooks.")
            at = self._clock()
            webhook = webhooks.create_webhook(
                tx,
                key,
                name=draft.name,
                url=draft.url,
                secret=None if draft.secret is None else self._sealer.seal(draft.secret),
                events=draft.events,
                enabled=draft.enabled,
                by=principal.user,
                at=at,
            )
            self._record(_Done(tx, principal, key, album, webhook), MutationType.CREATE_WEBHOOK, asked)
            return _view(tx, key, webhook)

        return await self._database.run(work)

    async def list(
        self, principal: Principal, album: AlbumId, *, url: str | None, page: Page
    ) -> tuple[list[WebhookView], int]:
        """Return a page of the album's webhooks, oldest first, and how many there are in all.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        """

        def work(tx: Connection) -> tuple[list[WebhookView], int]:
            key = permitted(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            found, total = webhooks.list_webhooks(tx, key, url=url, page=page)
            last = webhook_deliveries.last_deliveries(tx, found, most=_LAST)
            return [WebhookView(each, last[each.pk]) for each in found], total

        return await self._database.run(work)

    async def get(self, principal: Principal, album: AlbumId, webhook: WebhookId, page: Page) -> WebhookView:
        """Return a webhook with a page of its deliveries, newest first.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        WebhookNotFoundError
            If the album has no such webhook.
        """

        def work(tx: Connection) -> WebhookView:
            key = permitted(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            view = _view(tx, key, webhook)
            return replace(view, deliveries=webhook_deliveries.list_deliveries(tx, view.record, page))

        return await self._database.run(work)

    async def edit(
        self, principal: Principal, album: AlbumId, webhook: WebhookId, edit: WebhookEdit, *, asked: Use
    ) -> WebhookView:
        """Change a webhook and return it. What is on its way goes to its new URL. What changes nothing is no event.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        WebhookNotFoundError
            If the album has no such webhook.
        BadFormParameterError
            If the URL is not one that can be reached, or no event would be left.
        """

        def work(tx: Connection) -> WebhookView:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            record = _found(tx, key, webhook)
            if edit.url is not None:
                self._check(edit.url)
            changed = self._changed(record, edit)
            if changed != record:
                webhooks.edit_webhook(tx, key, changed)
                self._record(_Done(tx, principal, key, album, webhook), MutationType.EDIT_WEBHOOK, asked)
            return _view(tx, key, webhook)

        return await self._database.run(work)

    async def delete(self, principal: Principal, album: AlbumId, webhook: WebhookId, *, asked: Use) -> None:
        """Delete a webhook with its log; what is on its way is not sent.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        WebhookNotFoundError
            If the album has no such webhook.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            if not webhooks.delete_webhook(tx, key, webhook):
                raise WebhookNotFoundError
            self._record(_Done(tx, principal, key, album, webhook), MutationType.DELETE_WEBHOOK, asked)

        await self._database.run(work)

    async def trigger_new_user(
        self,
        principal: Principal,
        album: AlbumId,
        webhook: WebhookId,
        user: str,
        *,
        asked: Use,
        issuer: str | None = None,
    ) -> None:
        """Tell a webhook of a member as if they were new, to try it; also a disabled one.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        WebhookNotFoundError
            If the album has no such webhook.
        UserNotFoundError
            If no member answers to the reference.
        TooManyRequestsError
            If the album's webhooks, or any by the caller, were tried too often of late.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            record = _found(tx, key, webhook)
            member = members.find_member(tx, key, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            if member is None:
                raise UserNotFoundError
            facts = {**webhook_subjects.source_facts(principal), "user": member.user}
            done = _Done(tx, principal, key, album, webhook)
            self._trigger(done, record, WebhookEvent.NEW_USER, Subject(user=member.user), facts)
            self._record(done, MutationType.TRIGGER_WEBHOOK, asked)

        await self._database.run(work)

    async def trigger_new_series(
        self,
        principal: Principal,
        album: AlbumId,
        webhook: WebhookId,
        study: StudyInstanceUID,
        series: Sequence[SeriesInstanceUID],
        *,
        asked: Use,
    ) -> None:
        """Tell a webhook of series of the album as if they were new, to try it; also a disabled one.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            If the album is hidden, or the caller does not administer it.
        WebhookNotFoundError
            If the album has no such webhook.
        NotFoundError
            If one of the series is not in the album.
        TooManyRequestsError
            If the album's webhooks, or any by the caller, were tried too often of late.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_WEBHOOK, album)
            record = _found(tx, key, webhook)
            held = webhook_subjects.attributes_of(tx, key, study, series)
            if {each["series_instance_uid"] for each in held} != set(series):
                raise NotFoundError
            facts = {
                **webhook_subjects.source_facts(principal),
                "study": study,
                "import_source": ImportSource.SEND.value,
                "series": {each["series_instance_uid"]: each["number_of_instances"] for each in held},
            }
            done = _Done(tx, principal, key, album, webhook)
            self._trigger(done, record, WebhookEvent.NEW_SERIES, Subject(study=study, series=series), facts)
            self._record(done, MutationType.TRIGGER_WEBHOOK, replace(asked, studies=(study,)))

        await self._database.run(work)

    def _trigger(
        self, done: _Done, record: WebhookRecord, event: WebhookEvent, subject: Subject, facts: dict[str, object]
    ) -> None:
        at = self._clock()
        for allowance, whose in ((TRIGGERS_BY_PERSON, done.by.user), (TRIGGERS_OF_ALBUM, done.key)):
            spend(done.tx, allowance, str(whose), at=at, detail="Webhooks were tried too often of late.")
        webhook_deliveries.add_delivery(done.tx, record, event, subject, facts, is_manual=True, at=at)

    def _check(self, url: str) -> None:
        try:
            self._guard.check(url)
        except BadRequestError as error:
            raise BadFormParameterError(f"'url': {error.detail}") from None

    def _changed(self, record: WebhookRecord, edit: WebhookEdit) -> WebhookRecord:
        events = edit.events_of(record.events)
        if not events:
            raise BadFormParameterError("A webhook must have an 'event'.")
        secret = record.secret
        if edit.secret is not None:
            secret = self._sealer.seal(edit.secret) if edit.secret else None
        return replace(
            record,
            name=record.name if edit.name is None else edit.name,
            url=record.url if edit.url is None else edit.url,
            secret=secret,
            events=events,
            enabled=record.enabled if edit.enabled is None else edit.enabled,
        )

    def _record(self, done: _Done, kind: MutationType, asked: Use) -> None:
        """Write the event and the audit row."""
        at = self._clock()
        add_event(done.tx, done.key, Mutation(kind), by=done.by, at=at)
        audit.insert_use(done.tx, replace(asked, subject=f"{done.album} {done.webhook}"), at)


def _found(tx: Connection, key: PermittedAlbum, webhook: WebhookId) -> WebhookRecord:
    record = webhooks.find_webhook(tx, key, webhook)
    if record is None:
        raise WebhookNotFoundError
    return record


def _view(tx: Connection, key: PermittedAlbum, webhook: WebhookId) -> WebhookView:
    record = _found(tx, key, webhook)
    return WebhookView(record, webhook_deliveries.last_deliveries(tx, [record], most=_LAST)[record.pk])
