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
from kheops.archive.client import SLOW_DOWN, Authorization, ClientLimits, StoreClient
from kheops.archive.dicomweb_store import WHOLE, DicomwebStore, What
from kheops.archive.google_credentials import GoogleCredentials
from kheops.archive.port import ArchiveAbsentError
from kheops.clock import monotonic
from kheops.dicomweb.rendering import RenderingName
from kheops.dicomweb.resources import is_bulkdata_path
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, ConfigurationError, KheopsError
from kheops.ids import SopInstanceUID

__all__ = ["GoogleHealthcare"]

_STORE_URL: Final = re.compile(
    r"(?P<api>https?://[^/?#]+/[0-9A-Za-z]+)/(?P<dataset>projects/[^/?#]+/locations/[^/?#]+/datasets/[^/?#]+)"
    r"/dicomStores/[^/?#]+"
)
_OPERATION: Final = re.compile(r"[0-9A-Za-z_-]+", re.ASCII)
_BULKDATA_ROOT: Final = "bulkdata/"
_JSON: Final = "application/json"
_LAST_OFFSET: Final = 1_000_000
"""Of a search."""
_PAGES_AT_ONCE: Final = 4
_FIRST_POLL: Final = 0.5
_LONGEST_POLL: Final = 15.0
"""Seconds between two looks at an operation; doubled from the first to the longest."""
_OPERATION_LIMIT: Final = 30 * 60.0
"""Seconds; then somebody else looks again later."""
_SLOW_DOWN: Final = SLOW_DOWN | {HTTPStatus.INTERNAL_SERVER_ERROR}
"""Google advises to try 500 again as well (Cloud Healthcare API, best practices for latency and error handling)."""
_PERMISSION: Final = "the store refuses our credential, or our account lacks a permission"


class _Operation(msgspec.Struct):
    name: str = ""
    done: bool = False
    error: msgspec.Raw = msgspec.Raw()


class _Metrics(msgspec.Struct):
    instances: int = msgspec.field(name="instanceCount", default=0)
    series: int = msgspec.field(name="seriesCount", default=0)


# Numbers of 64 bits are text in the API's JSON.
_METRICS: Final = msgspec.json.Decoder(_Metrics, strict=False)


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
            client or StoreClient(authorization or GoogleCredentials(), limits=limits, slow_down=_SLOW_DOWN),
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
        answer, body = await self._client.ask("DELETE", self._addresses.series(ref), {"Accept": _JSON}, wanted=WHOLE)
        if answer.status == HTTPStatus.OK:
            await self._finish(_operation(body))
            return
        await self._deletion_refused(answer)
        if await self.inspect_series(ref):
            raise ArchiveProtocolError(_PERMISSION)

    @override
    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        """Return what a search finds; see `Archive.inspect_series`.

        Once the first page has come, the API is asked how many there are: with that many found, no further search
        is needed to learn that there is nothing more, and further pages are asked for several at a time. Whatever
        the count, one that was not reached has the search go on to its end.
        """
        found = await self._search_page(ref, offset=0)
        if not found:
            return frozenset()
        size = len(found)
        count = (await self._metrics(self._addresses.series(ref), "getSeriesMetrics")).instances
        offsets = range(size, min(count, _LAST_OFFSET), size)
        for begin in range(0, len(offsets), _PAGES_AT_ONCE):
            pages = (self._search_page(ref, offset=offset) for offset in offsets[begin : begin + _PAGES_AT_ONCE])
            before = len(found)
            found.update(*await asyncio.gather(*pages))
            if len(found) == before:
                break
        return frozenset(found) if len(found) == count else await super().inspect_series(ref)

    @override
    async def count_series(self) -> int | None:
        """Return what the API counts in the whole store; see `Archive.count_series`."""
        metrics = await self._metrics(self._addresses.root.removesuffix("/dicomWeb"), "getDICOMStoreMetrics")
        return metrics.series or None

    async def _metrics(self, url: str, method: str) -> "_Metrics":
        """Return what the API counts; nothing where it does not say."""
        answer, body = await self._client.ask(
            "GET", f"{url}:{method}", {"Accept": _JSON}, wanted=WHOLE, is_prompt=True
        )
        if answer.status != HTTPStatus.OK:
            await answer.discard()
            return _Metrics()
        try:
            return _METRICS.decode(body)
        except msgspec.MsgspecError:
            return _Metrics()

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
            answer, body = await self._client.ask("GET", url, {"Accept": _JSON}, wanted=WHOLE)
            if answer.status != HTTPStatus.OK:
                raise await self._refused(answer, What.DELETION)
            operation = _operation(body)
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


def _operation(body: bytes) -> _Operation:
    try:
        return msgspec.json.decode(body, type=_Operation)
    except msgspec.MsgspecError:
        raise ArchiveProtocolError("the operation cannot be read") from None
