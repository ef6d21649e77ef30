"""Searches of DCM4CHEE for instances by their UIDs."""

from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Final

import msgspec

from kheops.archive.addresses import StoreAddresses
from kheops.archive.answer import Answer
from kheops.archive.client import StoreClient
from kheops.archive.dicomweb_store import WHOLE
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, InvalidIdentifierError, KheopsError
from kheops.ids import SopInstanceUID, series_instance_uid, sop_instance_uid, study_instance_uid
from kheops.observability import get_logger

__all__ = ["InstanceSearch"]

_PAGE: Final = 1000
"""The shipped cap on the results of a search (``dcmQidoMaxNumberOfResults``)."""
_LISTED: Final = 50
"""UIDs in one address."""
_FIELDS: Final = "includedefaults=false&includefield=00080018,0020000D,0020000E"
_ACCEPT: Final = {"Accept": "application/dicom+json"}

_LOG = get_logger(__name__)


class _Identifier(msgspec.Struct):
    Value: list[str] = []


class _Found(msgspec.Struct):
    sop_instance: _Identifier = msgspec.field(name="00080018", default_factory=_Identifier)
    study: _Identifier = msgspec.field(name="0020000D", default_factory=_Identifier)
    series: _Identifier = msgspec.field(name="0020000E", default_factory=_Identifier)


_FOUND: Final = msgspec.json.Decoder(list[_Found])


class InstanceSearch:
    """Searches through one application entity. It searches and retrieves by the same rows: nothing lags.

    Parameters
    ----------
    addresses
        Of the entity.
    client
        Sends the requests.
    refused
        Tells the error that an answer means.
    """

    def __init__(
        self,
        addresses: StoreAddresses,
        client: StoreClient,
        refused: Callable[[Answer], Awaitable[KheopsError]],
    ) -> None:
        self._addresses = addresses
        self._client = client
        self._refused = refused

    async def has(self, ref: InstanceRef) -> bool:
        """Return whether the entity shows an instance under these UIDs."""
        return ref in (await self.where([ref.sop_instance_uid])).get(ref.sop_instance_uid, ())

    async def where(self, uids: Collection[SopInstanceUID]) -> dict[SopInstanceUID, set[InstanceRef]]:
        """Return under which UIDs there are instances, by their SOP Instance UIDs; others are left out."""
        where: dict[SopInstanceUID, set[InstanceRef]] = {}
        wanted = sorted(uids)
        for start in range(0, len(wanted), _LISTED):
            listed = ",".join(wanted[start : start + _LISTED])
            url = f"{self._addresses.instances}?SOPInstanceUID={listed}&{_FIELDS}&limit={_PAGE}"
            for ref in await self._page(url):
                where.setdefault(ref.sop_instance_uid, set()).add(ref)
        return where

    async def series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        """Return the instances of a series.

        Raises
        ------
        ArchiveUnavailableError
            If an instance is on two pages, so that another may be on none: no order that is asked for is total.
        """
        url = f"{self._addresses.series(ref)}/instances?{_FIELDS}&orderby=InstanceNumber&limit={_PAGE}"
        found: set[SopInstanceUID] = set()
        given = 0
        while page := await self._page(f"{url}&offset={given}"):
            found |= {each.sop_instance_uid for each in page}
            given += len(page)
            if given != len(found):
                _LOG.warning("archive.pages_overlap", given=given, found=len(found))
                raise ArchiveUnavailableError
        return frozenset(found)

    async def answers(self) -> bool:
        """Return whether the entity answers a search."""
        answer = await self._client.fetch("GET", f"{self._addresses.instances}?limit=1", _ACCEPT, is_prompt=True)
        await answer.discard()
        return answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    async def _page(self, url: str) -> list[InstanceRef]:
        answer, body = await self._client.ask("GET", url, _ACCEPT, wanted=WHOLE, is_prompt=True)
        if answer.status == HTTPStatus.NO_CONTENT:
            await answer.discard()
            return []
        if answer.status != HTTPStatus.OK:
            raise await self._refused(answer)
        try:
            return [
                InstanceRef(
                    study_instance_uid(item.study.Value[0]),
                    series_instance_uid(item.series.Value[0]),
                    sop_instance_uid(item.sop_instance.Value[0]),
                )
                for item in _FOUND.decode(body)
            ]
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidIdentifierError, IndexError):
            raise ArchiveProtocolError("the archive's search answer cannot be read") from None
