"""STOW-RS: one request from its target to its report."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.dicomweb.store_body import BodyForm
from kheops.domain import policy
from kheops.domain.policy import StoreTarget
from kheops.domain.principals import AlbumCapability, Principal, ReportToken, ViewerToken, groups_of, parent_of
from kheops.domain.resources import AlbumRole
from kheops.domain.uses import Use
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.admission import Upload
from kheops.services.batches import Gate, Workshop
from kheops.services.byte_budget import ByteBudget, take_or_refuse
from kheops.services.comparison import Comparison
from kheops.services.confirmation import Resolver
from kheops.services.denials import granted
from kheops.services.metadata_upload import METADATA_UPLOAD_BYTES, MetadataUpload
from kheops.services.refusals import RefusalLimit
from kheops.services.store_report import StoreReport
from kheops.services.upload import UPLOAD_BYTES, UploadReader
from kheops.storage import roles
from kheops.storage.engine import Database

__all__ = ["Storing", "role_in_target"]


class Storing:
    """Stores what callers send.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    lease_seconds
        How long a reservation lives without being renewed.
    held_bytes
        Bytes of uploads held in memory by the whole process.
    compares
        Whether instances that contradict the study or series on record are refused.
    refusals
        How often people were told of late that a UID is in use; one of its own by default.
    """

    def __init__(
        self,
        *,
        database: Database,
        archive: Archive,
        clock: Clock,
        lease_seconds: float,
        held_bytes: int,
        compares: bool = True,
        refusals: RefusalLimit | None = None,
    ) -> None:
        self._database = database
        self._compares = compares
        self._making = asyncio.Semaphore(1)
        self._budget = ByteBudget(held_bytes)
        self._workshop = Workshop(
            database=database,
            archive=archive,
            resolver=Resolver(database, archive, clock),
            refusals=refusals or RefusalLimit(),
            clock=clock,
            lease=timedelta(seconds=lease_seconds),
        )

    @property
    def budget(self) -> ByteBudget:
        """The bytes that uploads hold."""
        return self._budget

    async def target(self, principal: Principal, album: AlbumId | None) -> StoreTarget:
        """Return where ``principal`` stores: ``album``, or the token's own album or source, or the inbox.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden from the caller or does not exist.
        ForbiddenError
            If the token or the role in the album does not allow it.
        """
        role = await self._database.run(partial(role_in_target, principal=principal, album=album))
        return granted(policy.store_into(principal, role), album=True)

    async def store(
        self,
        *,
        principal: Principal,
        target: StoreTarget,
        study: StudyInstanceUID | None,
        body: AsyncIterator[bytes],
        boundary: bytes | None,
        use: Use,
        form: BodyForm = BodyForm.FILES,
        bears_conflicts: bool = False,
    ) -> StoreReport:
        """Store a request's body and say what each instance came to.

        Parameters
        ----------
        principal
            Who stores.
        target
            Where to, as `target` decided.
        study
            The study of the request's path, if it names one.
        body
            The body as it arrives; raises `ClientGoneError` if the client leaves.
        boundary
            Of a multipart body; ``None`` for one bare PS3.10 file.
        use
            The request, for the audit trail.
        form
            Of a multipart body: what its parts are.
        bears_conflicts
            Whether instances are stored that contradict the study or series on record.

        Raises
        ------
        TooManyRequestsError
            If this person was refused too often of late.
        BadMultipartError
            If the body is no multipart and held not one complete part; of metadata, also if it breaks off.
        BadRequestError
            If metadata is no list of data sets.
        PayloadTooLargeError
            If metadata with bulk data is larger than the limit, or there are too many parts.
        UnavailableError
            If there is no memory for the upload now.
        ClientGoneError
            If the client left; finished parts are confirmed before it is raised.
        """
        self._workshop.refusals.check(principal.user)
        upload = Upload(upload_id=secrets.token_hex(16), principal=principal, target=target)
        report = StoreReport()
        compares = self._compares and not bears_conflicts
        gate = Gate(self._workshop, upload, use, report, Comparison(principal) if compares else None)
        reader = partial(UploadReader, workshop=self._workshop, upload=upload, gate=gate, report=report, study=study)
        if boundary is None:
            await reader(budget=self._budget).read_single(body)
        elif form in {BodyForm.JSON, BodyForm.XML}:
            await self._store_metadata(MetadataUpload(form, report, self._making), reader, body, boundary)
        else:
            await reader(budget=self._budget, is_form=form is BodyForm.FORM_DATA).read(body, boundary)
        return report

    async def _store_metadata(
        self,
        metadata: MetadataUpload,
        reader: Callable[..., UploadReader],
        body: AsyncIterator[bytes],
        boundary: bytes,
    ) -> None:
        """Read metadata with bulk data, and the files that are made of it, within what one upload may hold."""
        # All at once: who held one half and waited for the other could wait for somebody who does the same.
        await take_or_refuse(self._budget, UPLOAD_BYTES)
        try:
            await metadata.read(body, boundary)
            files, files_boundary = await metadata.files()
            held = UPLOAD_BYTES - METADATA_UPLOAD_BYTES
            await reader(budget=ByteBudget(held), held_bytes=held).read(files, files_boundary)
        finally:
            self._budget.give_back(UPLOAD_BYTES)


def role_in_target(tx: Connection, principal: Principal, album: AlbumId | None) -> AlbumRole | None:
    """Return the role of ``principal`` in the album that is named, or where what it stores goes without a name."""
    if album is not None:
        return roles.role_in_album(tx, principal.user, album, groups=groups_of(principal))
    if isinstance(principal, ViewerToken | ReportToken) and principal.source.album is not None:
        return roles.role_in(tx, principal.user, principal.source.album, groups=groups_of(principal))
    parent = parent_of(principal)
    if isinstance(parent, AlbumCapability):
        return roles.role_in(tx, principal.user, parent.album, groups=groups_of(principal))
    return roles.role_in_inbox(tx, principal.user)
