"""A DICOM store of the Google Cloud Healthcare API.

What differs from the standard, and is evened out here: an object that does not exist is 403 as a missing permission
is, an empty search is 204, transfer syntaxes are changed unless asked not to, a store answers in XML unless asked
not to, and a series is deleted by an operation that takes its time.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from typing_extensions import override

from kheops.archive.addresses import StoreAddresses
from kheops.archive.answer import Answer
from kheops.archive.client import Authorization, ClientLimits, StoreClient
from kheops.archive.dicomweb_store import CONTROL_LIMIT, DicomwebStore, What
from kheops.archive.google_credentials import GoogleCredentials
from kheops.archive.port import ArchiveAbsentError
from kheops.clock import monotonic
from kheops.dicomweb.rendering import RenderingName
from kheops.dicomweb.resources import is_bulkdata_path
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, ConfigurationError, KheopsError

__all__ = ["GoogleHealthcare"]

_STORE_URL: Final = re.compile(
    r"(?P<api>https?://[^/?#]+/[0-9A-Za-z]+)/(?P<dataset>projects/[^/?#]+/locations/[^/?#]+/datasets/[^/?#]+)"
    r"/dicomStores/[^/?#]+"
)
_OPERATION: Final = re.compile(r"[0-9A-Za-z_-]+", re.ASCII)
_BULKDATA_ROOT: Final = "bulkdata/"
_JSON: Final = "application/json"
_FIRST_POLL: Final = 0.5
_LONGEST_POLL: Final = 15.0
"""Seconds between two looks at an operation; doubled from the first to the longest."""
_OPERATION_LIMIT: Final = 30 * 60.0
"""Seconds; then somebody else looks again later."""
_PERMISSION: Final = "the store refuses our credential, or our account lacks a permission"


class _Operation(msgspec.Struct):
    name: str = ""
    done: bool = False
    error: msgspec.Raw = msgspec.Raw()


class GoogleHealthcare(DicomwebStore):
    """A DICOM store of the Cloud Healthcare API.

    Parameters
    ----------
    store_url
        The store's address up to and without ``/dicomWeb``.
    authorization
        What proves that we may ask; the application default credentials if not given.
    limits
        Bounds of the client.
    client
        Sends the requests; made from the others if not given.
    sleep
        How to wait for an operation; tests replace it.

    Raises
    ------
    ConfigurationError
        If ``store_url`` does not name a DICOM store.
    """

    def __init__(
        self,
        store_url: str,
        *,
        authorization: Authorization | None = None,
        limits: ClientLimits | None = None,
        client: StoreClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        match = _STORE_URL.fullmatch(store_url.rstrip("/"))
        if match is None:
            raise ConfigurationError(
                ["KHEOPS_STORE_URL: must look like https://host/v1/projects/P/locations/L/datasets/D/dicomStores/S"]
            )
        self._api = match["api"]
        self._dataset = match["dataset"]
        self._sleep = sleep
        super().__init__(
            StoreAddresses(match[0] + "/dicomWeb"),
            client or StoreClient(authorization or GoogleCredentials(), limits=limits),
            single=frozenset({What.INSTANCE, What.BULKDATA}),
        )

    async def delete_instance(self, ref: InstanceRef) -> None:
        """Delete one instance; see `Archive.delete_instance`."""
        answer = await self._client.fetch("DELETE", self._addresses.instance(ref), {"Accept": _JSON})
        if answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            await answer.discard()
            return
        await self._deletion_refused(answer)
        if await self.inspect_instance(ref):
            raise ArchiveProtocolError(_PERMISSION)

    async def delete_series(self, ref: SeriesRef) -> None:
        """Delete a series and wait for the end of the operation; see `Archive.delete_series`.

        Raises
        ------
        ArchiveUnavailableError
            If the operation takes longer than half an hour; it goes on.
        ArchiveProtocolError
            If it ended with an error, or our account may not delete.
        """
        answer = await self._client.fetch("DELETE", self._addresses.series(ref), {"Accept": _JSON})
        if answer.status == HTTPStatus.OK:
            await self._finish(await _operation(answer))
            return
        await self._deletion_refused(answer)
        if await self.inspect_series(ref):
            raise ArchiveProtocolError(_PERMISSION)

    async def _deletion_refused(self, answer: Answer) -> None:
        """Return if ``answer`` may mean that there is nothing to delete.

        It may as well mean that our account may read but not delete: the caller has to look whether it is there.
        """
        error = await self._refused(answer, What.DELETION)
        if not isinstance(error, ArchiveAbsentError):
            raise error

    async def _finish(self, operation: _Operation) -> None:
        prefix, _, identifier = operation.name.rpartition("/")
        if prefix != f"{self._dataset}/operations" or _OPERATION.fullmatch(identifier) is None:
            raise ArchiveProtocolError("the operation's name is none of this dataset")
        url = f"{self._api}/{self._dataset}/operations/{identifier}"
        until = monotonic() + _OPERATION_LIMIT
        wait = _FIRST_POLL
        while not operation.done:
            if monotonic() > until:
                raise ArchiveUnavailableError
            await self._sleep(wait)
            wait = min(_LONGEST_POLL, wait * 2)
            answer = await self._client.fetch("GET", url, {"Accept": _JSON})
            if answer.status != HTTPStatus.OK:
                raise await self._refused(answer, What.DELETION)
            operation = await _operation(answer)
        if bytes(operation.error):
            raise ArchiveProtocolError("the deletion ended with an error")

    @property
    @override
    def renders(self) -> frozenset[RenderingName]:
        """The API's conformance statement names no other parameter."""
        return frozenset({RenderingName.VIEWPORT})

    @override
    def _bulkdata_below(self, path: str) -> str | None:
        return _BULKDATA_ROOT + path if is_bulkdata_path(path) else None

    @override
    def _bulkdata_public(self, below: str) -> str | None:
        return below.removeprefix(_BULKDATA_ROOT) if below.startswith(_BULKDATA_ROOT) else None

    @override
    async def _meaning(self, status: int, body: bytes, what: What) -> KheopsError:
        if status == HTTPStatus.FORBIDDEN and what is not What.STORE:
            # Absent and forbidden look the same. Were our permission lost, everything would seem absent, and be
            # dropped from the catalog: so ask for what always exists.
            return ArchiveAbsentError() if await self._searchable() else ArchiveProtocolError(_PERMISSION)
        if status == HTTPStatus.BAD_REQUEST and what is What.FRAMES:
            return ArchiveAbsentError()
        return await super()._meaning(status, body, what)


async def _operation(answer: Answer) -> _Operation:
    try:
        return msgspec.json.decode(await answer.read(CONTROL_LIMIT), type=_Operation)
    except msgspec.MsgspecError:
        raise ArchiveProtocolError("the operation cannot be read") from None
