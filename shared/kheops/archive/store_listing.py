"""Everything that a store holds, series by series, within what its searches can do.

Searches give a page at a time, and the Healthcare API none behind a million results: so studies are listed, and then
the series of each.
"""

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from kheops.archive.client import StoreClient, Wanted
from kheops.domain.resources import SeriesRef
from kheops.errors import ArchiveProtocolError, InvalidIdentifierError
from kheops.ids import SeriesInstanceUID, StudyInstanceUID, series_instance_uid, study_instance_uid

__all__ = ["list_series"]

T = TypeVar("T")

_PAGE: Final = 250
_LAST_OFFSET: Final = 1_000_000
"""Of a search of the Healthcare API."""
_WHOLE: Final = Wanted(frozenset({HTTPStatus.OK}), 1024 * 1024)
_ABSENT: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN})
"""Of a search below a study that has gone meanwhile; 403 is the Healthcare API's word for it."""


class _Identifier(msgspec.Struct):
    Value: list[str] = []


class _Found(msgspec.Struct):
    study: _Identifier = msgspec.field(name="0020000D", default_factory=_Identifier)
    series: _Identifier = msgspec.field(name="0020000E", default_factory=_Identifier)


_FOUND: Final = msgspec.json.Decoder(list[_Found])


async def list_series(client: StoreClient, studies: str) -> AsyncIterator[SeriesRef]:
    """Give every series of a store; one may come twice where the pages of a search overlap.

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
    async for page in _pages(client, studies, _study_of, gone=frozenset({HTTPStatus.NO_CONTENT})):
        for study in page:
            seen: set[SeriesInstanceUID] = set()
            async for found in _pages(client, f"{studies}/{study}/series", _series_of, gone=_ABSENT):
                for series in found:
                    if series not in seen:
                        seen.add(series)
                        yield SeriesRef(study, series)


async def _pages(
    client: StoreClient, url: str, uid_of: Callable[[_Found], T], *, gone: frozenset[HTTPStatus]
) -> AsyncIterator[list[T]]:
    offset = 0
    last: list[T] = []
    while offset <= _LAST_OFFSET:
        page = await _page(client, f"{url}?limit={_PAGE}&offset={offset}", uid_of, gone)
        # One that gives the same page again knows no offset.
        if not page or page == last:
            return
        yield page
        last = page
        offset += len(page)
    raise ArchiveProtocolError("the store holds more than its searches can reach")


async def _page(client: StoreClient, url: str, uid_of: Callable[[_Found], T], gone: frozenset[HTTPStatus]) -> list[T]:
    answer, body = await client.ask("GET", url, {"Accept": "application/dicom+json"}, wanted=_WHOLE, is_prompt=True)
    if answer.status != HTTPStatus.OK:
        await answer.discard()
        if answer.status in gone:
            return []
        raise ArchiveProtocolError("the store does not answer a search")
    try:
        return [uid_of(each) for each in _FOUND.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidIdentifierError):
        raise ArchiveProtocolError("the store's search answer cannot be read") from None


def _study_of(found: _Found) -> StudyInstanceUID:
    return study_instance_uid("".join(found.study.Value[:1]))


def _series_of(found: _Found) -> SeriesInstanceUID:
    return series_instance_uid("".join(found.series.Value[:1]))
