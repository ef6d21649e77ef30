"""Report providers of albums: registered by administrators, seen by members."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction, PermittedAlbum
from kheops.domain.principals import Principal
from kheops.domain.report_configuration import (
    ProviderConfiguration,
    ProviderConfigurationError,
    parse_configuration,
)
from kheops.domain.report_providers import PROVIDERS_OF_ALBUM, ProviderDraft
from kheops.domain.uses import Use
from kheops.errors import (
    BadFormParameterError,
    BadRequestError,
    ConflictError,
    OutboundError,
    ReportProviderNotFoundError,
)
from kheops.ids import AlbumId, ReportProviderId
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.denials import granted
from kheops.storage import audit, report_providers, report_tokens
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.report_providers import ProviderRecord

__all__ = ["CONFIGURATION_BYTES", "Fetcher", "Probe", "ProviderRecord", "ReportProviders"]

CONFIGURATION_BYTES: Final = 64 * 1024
"""Of a configuration document, and of a provider's keys."""


class Fetcher(Protocol):
    """Gets documents from addresses that others chose: `kheops.outbound.guard.OutboundGuard`."""

    async def fetch(self, url: str, *, accept: str, most: int) -> bytes:
        """Return the body of what is at ``url``."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of reading a configuration document."""

    configuration: ProviderConfiguration | None
    error: str | None
    """What is wrong with it; ``None`` for a good one."""


class ReportProviders:
    """The report providers of albums.

    Parameters
    ----------
    database
        Where they are.
    clock
        The current time.
    fetcher
        Gets their documents.
    """

    def __init__(self, database: Database, clock: Clock, fetcher: Fetcher) -> None:
        self._database = database
        self._clock = clock
        self._fetcher = fetcher

    async def configuration(self, url: str) -> ProviderConfiguration:
        """Return the configuration that is at ``url`` now.

        Raises
        ------
        BadRequestError
            If the address can be none.
        OutboundError
            If it does not answer as it must.
        ProviderConfigurationError
            If the document is not one that can be used.
        """
        body = await self._fetcher.fetch(url, accept="application/json", most=CONFIGURATION_BYTES)
        return parse_configuration(body, url)

    async def probe(self, principal: Principal, url: str) -> Probe:
        """Read the document at an address that somebody may want to register.

        Raises
        ------
        ForbiddenError
            If the caller is neither a person nor has a token of user scope that writes.
        """
        granted(policy.manage_own_account(principal, writes=True))
        try:
            return Probe(await self.configuration(url), None)
        except ProviderConfigurationError as error:
            return Probe(None, str(error))
        except (BadRequestError, OutboundError) as error:
            return Probe(None, error.detail)

    async def create(
        self, principal: Principal, album: AlbumId, draft: ProviderDraft, *, asked: Use
    ) -> ProviderRecord:
        """Register a provider, whose configuration document must be there and good now.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the caller came by a token, or does not administer the album.
        BadFormParameterError
            If nothing good is at the address.
        ConflictError
            If the album has a hundred already.
        """
        await self._database.run(lambda tx: _manage(tx, principal, album))
        await self._must_be_good(draft.url)

        def work(tx: Connection) -> ProviderRecord:
            key = _manage_locked(tx, principal, album)
            if report_providers.number_of_album(tx, key) >= PROVIDERS_OF_ALBUM:
                raise ConflictError(f"An album has {PROVIDERS_OF_ALBUM} report providers at most.")
            at = self._clock()
            record = report_providers.create_provider(tx, key, draft, at=at)
            self._tell(tx, principal, key, record.provider, MutationType.CREATE_REPORT_PROVIDER, asked, at)
            return record

        return await self._database.run(work)

    async def list(self, principal: Principal, album: AlbumId, page: Page) -> tuple[Sequence[ProviderRecord], int]:
        """Return a page of an album's providers, oldest first, and how many there are in all.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token may not see them.
        """
        return await self._database.run(
            lambda tx: report_providers.list_of_album(
                tx, permitted(tx, principal, AlbumAction.GET_DICOM_SR, album), page
            )
        )

    async def get(self, principal: Principal, album: AlbumId, provider: ReportProviderId) -> ProviderRecord:
        """Return a provider of an album.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            As `list`.
        ReportProviderNotFoundError
            If the album has no such provider, or no longer.
        """
        return await self._database.run(
            lambda tx: _of(tx, permitted(tx, principal, AlbumAction.GET_DICOM_SR, album), provider)
        )

    async def edit(
        self,
        principal: Principal,
        album: AlbumId,
        provider: ReportProviderId,
        *,
        name: str | None,
        url: str | None,
        asked: Use,
    ) -> ProviderRecord:
        """Change name or address of a provider. A new address ends everything that it was given.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError, BadFormParameterError
            As `create`.
        ReportProviderNotFoundError
            As `get`.
        """
        before = await self._database.run(lambda tx: _of(tx, _manage(tx, principal, album), provider))
        if url is not None and url != before.url:
            await self._must_be_good(url)

        def work(tx: Connection) -> ProviderRecord:
            key = _manage_locked(tx, principal, album)
            now = _of(tx, key, provider)
            draft = ProviderDraft(name=name or now.name, url=url or now.url)
            at = self._clock()
            if draft.url != now.url:
                report_tokens.revoke_of_provider(tx, now.pk, at=at)
            report_providers.edit_provider(tx, now.pk, draft)
            self._tell(tx, principal, key, provider, MutationType.EDIT_REPORT_PROVIDER, asked, at)
            return replace(now, name=draft.name, url=draft.url)

        return await self._database.run(work)

    async def remove(self, principal: Principal, album: AlbumId, provider: ReportProviderId, *, asked: Use) -> None:
        """Remove a provider for good. Its codes and tokens end with it.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            As `create`.
        ReportProviderNotFoundError
            As `get`.
        """

        def work(tx: Connection) -> None:
            key = _manage_locked(tx, principal, album)
            record = _of(tx, key, provider)
            at = self._clock()
            if not report_providers.remove_provider(tx, record.pk, at=at):
                raise ReportProviderNotFoundError
            report_tokens.revoke_of_provider(tx, record.pk, at=at)
            self._tell(tx, principal, key, provider, MutationType.DELETE_REPORT_PROVIDER, asked, at)

        await self._database.run(work)

    async def _must_be_good(self, url: str) -> None:
        try:
            await self.configuration(url)
        except (BadRequestError, OutboundError) as error:
            raise BadFormParameterError(f"'url' formparam is not valid: {error.detail}") from None
        except ProviderConfigurationError as error:
            raise BadFormParameterError(f"'url' formparam is not valid: {error}") from None

    @staticmethod
    def _tell(  # noqa: PLR0917 - each is of a different type
        tx: Connection,
        principal: Principal,
        album: PermittedAlbum,
        provider: ReportProviderId,
        kind: MutationType,
        asked: Use,
        at: datetime,
    ) -> None:
        add_event(tx, album, Mutation(kind, provider=provider), by=principal, at=at)
        audit.insert_use(tx, replace(asked, subject=provider), at)


def _manage(tx: Connection, principal: Principal, album: AlbumId) -> PermittedAlbum:
    return permitted(tx, principal, AlbumAction.MANAGE_DICOM_SR, album)


def _manage_locked(tx: Connection, principal: Principal, album: AlbumId) -> PermittedAlbum:
    return permitted_and_locked(tx, principal, AlbumAction.MANAGE_DICOM_SR, album)


def _of(tx: Connection, album: PermittedAlbum, provider: ReportProviderId) -> ProviderRecord:
    record = report_providers.find_of_album(tx, album, provider)
    if record is None:
        raise ReportProviderNotFoundError
    return record
