"""Downloads: what the caller may take away of a study, of chosen series, or of an album, as one ZIP archive."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.domain.export_policy import export, export_from_album, export_series
from kheops.domain.policy import Denied
from kheops.domain.principals import groups_of
from kheops.errors import NotFoundError
from kheops.ids import SeriesInstanceUID, StudyInstanceUID
from kheops.services.audit import AuditTrail
from kheops.services.denials import refuse
from kheops.services.reading import Asked, scope_of
from kheops.services.zip_stream import Exported, ZipStream
from kheops.storage.catalog_export import series_to_export
from kheops.storage.engine import Database
from kheops.storage.roles import role_in_album

__all__ = ["ZipExport"]


class ZipExport:
    """Opens downloads.

    Parameters
    ----------
    database
        Where roles and the catalog are.
    archive
        The store.
    audit
        Takes the record of each download before its first byte.
    clock
        Dates the entries.
    """

    def __init__(self, *, database: Database, archive: Archive, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._archive = archive
        self._audit = audit
        self._clock = clock

    async def open(
        self, asked: Asked, *, study: StudyInstanceUID | None, chosen: Collection[SeriesInstanceUID] | None
    ) -> ZipStream:
        """Open an archive of the series that the caller may download, with a DICOMDIR as its last entry.

        Parameters
        ----------
        asked
            Who asks, and from which source.
        study
            The study, or ``None`` for all that the source holds.
        chosen
            The series that are wanted, or ``None`` for all. Of those that the caller may not download, or that are
            not there, nothing is said.

        Raises
        ------
        ForbiddenError
            If the token, or the role in the album asked for, does not include downloading.
        AlbumNotFoundError
            If that album is hidden or absent.
        NotFoundError
            If nothing is left to download.
        UnavailableError
            If the store or the database does not answer.
        """
        principal = asked.principal
        refused = export(principal)
        if refused is not None:
            refuse(refused)
        scope = await scope_of(self._database, asked)
        if asked.album is not None:
            role = await self._database.run(
                partial(role_in_album, user=principal.user, album=asked.album, groups=groups_of(principal))
            )
            refused = None if role is None else export_from_album(role)
            if refused is not None:
                refuse(refused, album=True)
        found = await self._database.run(partial(series_to_export, scope=scope, study=study, chosen=chosen))
        granted = [
            Exported(ref, each)
            for each in found
            if not isinstance(ref := export_series(principal, each.facts), Denied)
        ]
        if not granted:
            raise NotFoundError
        studies = tuple(dict.fromkeys(each.ref.study_instance_uid for each in granted))
        use = asked.use_of(studies=studies, series=tuple(each.ref.series_instance_uid for each in granted))
        await self._audit.record(replace(use, subject=asked.album))
        stream = ZipStream(
            granted,
            principal=principal,
            scope=scope,
            database=self._database,
            archive=self._archive,
            moment=self._clock(),
        )
        await stream.begin()
        return stream
