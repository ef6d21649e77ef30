"""Everything that a store holds, series by series, within what its searches can do.

Searches give a page at a time, and the Healthcare API none behind a million results: so studies are listed, and then
the series of each.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import msgspec

from kheops.archive.client import StoreClient
from kheops.domain.resources import SeriesRef
from kheops.errors import ArchiveProtocolError, InvalidIdentifierError
from kheops.ids import series_instance_uid, study_instance_uid

__all__ = ["list_series"]

_PAGE: Final = 250
_LAST_OFFSET: Final = 1_000_000
"""Of a search of the Healthcare API."""
_LIMIT: Final = 1024 * 1024
"""Bytes of an answer that is read whole."""
_ABSENT: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN})
"""Of a search below a study that has gone meanwhile; 403 is the Healthcare API's word for it."""


class _Identifier(msgspec.Struct):
    Value: list[str] = []


class _Found(msgspec.Struct):
    study: _Identifier = msgspec.field(name="0020000D", default_factory=_Identifier)
    series: _Identifier = msgspec.field(name="0020000E", default_factory=_Identifier)


_FOUND: Final = msgspec.json.Decoder(list[_Found])


async def list_series(client: StoreClient, studies: str) -> AsyncIterator[SeriesRef]:
    """Give every series of a store once.

    Parameters
    ----------
    client
        Sends the requests.
    studies
        The address at which studies are searched.

    Raises
    ------
    ArchiveUnavailableError
        If the store does not answer.
    ArchiveProtocolError
        If its answers cannot be read, or it holds more studies than its searches can reach.
    """
    async for page in _pages(client, studies, gone=frozenset({HTTPStatus.NO_CONTENT})):
        for each in page:
            study = study_instance_uid(_uid(each.study))
            below = f"{studies}/{study}/series"
            seen: set[str] = set()
            async for found in _pages(client, below, gone=_ABSENT):
                for uid in (_uid(series.series) for series in found):
                    if uid not in seen:
                        seen.add(uid)
                        yield SeriesRef(study, series_instance_uid(uid))


async def _pages(client: StoreClient, url: str, *, gone: frozenset[HTTPStatus]) -> AsyncIterator[list[_Found]]:
    offset = 0
    last: list[_Found] = []
    while offset <= _LAST_OFFSET:
        page = await _page(client, f"{url}?limit={_PAGE}&offset={offset}", gone)
        # One that gives the same page again knows no offset.
        if not page or page == last:
            return
        yield page
        last = page
        offset += len(page)
    raise ArchiveProtocolError("the store holds more than its searches can reach")


async def _page(client: StoreClient, url: str, gone: frozenset[HTTPStatus]) -> list[_Found]:
    answer = await client.fetch("GET", url, {"Accept": "application/dicom+json"}, is_prompt=True)
    if answer.status != HTTPStatus.OK:
        await answer.discard()
        if answer.status in gone:
            return []
        raise ArchiveProtocolError("the store does not answer a search")
    try:
        page = _FOUND.decode(await answer.read(_LIMIT))
        for each in page:
            study_instance_uid(_uid(each.study)) if each.study.Value else series_instance_uid(_uid(each.series))
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidIdentifierError):
        raise ArchiveProtocolError("the store's search answer cannot be read") from None
    return page


def _uid(identifier: _Identifier) -> str:
    return identifier.Value[0] if identifier.Value else ""
