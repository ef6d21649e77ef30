"""Which media type an answer gets (PS3.18 section 8.7), and the Accept that the store is asked with.

What the caller sent is only compared; the Accept for the store is composed from our own words and from transfer
syntax UIDs that were validated. Where the caller names no transfer syntax, the store is asked for ``*``: the bytes
as they were stored, without transcoding.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from kheops.dicomweb.media_ranges import (
    MalformedMediaTypeError,
    MediaRange,
    MediaType,
    parse_accept,
    parse_media_type,
)
from kheops.errors import InvalidIdentifierError, NotAcceptableError
from kheops.ids import transfer_syntax_uid

__all__ = [
    "FRAME_TYPES",
    "ZIP",
    "Accept",
    "Choice",
    "Framing",
    "negotiate_bulkdata",
    "negotiate_dicom",
    "negotiate_frames",
    "negotiate_instance",
    "negotiate_rendered",
    "negotiate_search",
    "negotiate_store",
    "prefers_zip",
]

_DICOM: Final = "application/dicom"
_OCTETS: Final = "application/octet-stream"
_JPEG: Final = "1.2.840.10008.1.2.4."
ZIP: Final = "application/zip"
"""PS3.10 files and a DICOMDIR, as a download; no media type of PS3.18."""
_JSON: Final = ("application/dicom+json", "application/json")
_XML: Final = "application/dicom+xml"
FRAME_TYPES: Final = (
    _OCTETS,
    "image/jpeg",
    "image/jls",
    "image/jp2",
    "image/jpx",
    "image/jphc",
    "image/jxl",
    "image/dicom-rle",
    "image/png",
    "application/x-deflate",
    "video/mpeg",
    "video/mp4",
    "video/H265",
)
"""PS3.18 tables 8.7.3-2 to 8.7.3-5; the first one wins a draw."""
_SYNTAXES_OF: Final = {
    "image/jpeg": frozenset({_JPEG + suffix for suffix in ("50", "51", "57", "70")}),
    "image/jls": frozenset({_JPEG + suffix for suffix in ("80", "81")}),
    "image/jp2": frozenset({_JPEG + suffix for suffix in ("90", "91")}),
    "image/jpx": frozenset({_JPEG + suffix for suffix in ("92", "93")}),
    "image/jphc": frozenset({_JPEG + suffix for suffix in ("201", "202", "203")}),
    "image/jxl": frozenset({_JPEG + suffix for suffix in ("110", "111", "112")}),
    "image/dicom-rle": frozenset({"1.2.840.10008.1.2.5"}),
    "video/mpeg": frozenset({_JPEG + suffix for suffix in ("100", "101")}),
    "video/mp4": frozenset({_JPEG + suffix for suffix in ("102", "103", "104", "105", "106")}),
    "video/H265": frozenset({_JPEG + suffix for suffix in ("107", "108")}),
}
"""The transfer syntaxes whose frames are of each type as they are stored (PS3.18 tables 8.7.3-3 to 8.7.3-5)."""
_UNCOMPRESSED: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})
_OTHER_NAMES: Final = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "image/jhc": "image/jphc",
}
"""What npm's dicomweb-client (and so OHIF) and wsidicom call some of them, and nothing else."""
_ANY_SYNTAX: Final = "*"
_REMEMBERED_LENGTH: Final = 512
"""Characters of the longest Accept whose outcome is remembered; those of viewers are shorter."""
_JSON_WITH_LOST_PLUS: Final = re.compile(r"\b(dicom|svg) (json|xml)\b")


@dataclass(frozen=True, slots=True)
class Accept:
    """What the caller accepts.

    Parameters
    ----------
    header
        Values of the Accept header fields; none means anything.
    parameter
        Decoded values of the ``accept`` query parameters. Where there is one, the header does not count (PS3.18
        section 8.3.3.1: the parameter is for clients that cannot set the header).
    """

    header: Sequence[str] = ()
    parameter: Sequence[str] = ()


class Framing(StrEnum):
    """How an answer carries its objects."""

    MULTIPART = "multipart"
    """``multipart/related``, one part an object."""
    SINGLE_PART = "single-part"
    """The object is the body."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a negotiation."""

    media_type: str
    """Of each object: the part's Content-Type, or the body's."""
    framing: Framing
    """How *our* answer is framed. The store is always asked for multipart."""
    store_accept: str
    """The Accept to send to the store."""
    names_syntax: bool = field(default=False, compare=False)
    """Whether a transfer syntax is asked for by name, or by a media type, which need not be the stored one."""


@dataclass(frozen=True, slots=True)
class _Offer:
    media_type: str
    framing: Framing


class _Offers:
    """What a route has, best first; one object a route, so that comparing two costs nothing."""

    def __init__(self, *offers: _Offer) -> None:
        self.all = offers


_FRAMES_IN_PARTS: Final = [_Offer(media_type, Framing.MULTIPART) for media_type in FRAME_TYPES]
_FRAME_ALONE: Final = [_Offer(media_type, Framing.SINGLE_PART) for media_type in FRAME_TYPES]
_DICOM_OFFERS: Final = _Offers(_Offer(_DICOM, Framing.MULTIPART), _Offer(ZIP, Framing.SINGLE_PART))
_INSTANCE_OFFERS: Final = _Offers(_Offer(_DICOM, Framing.MULTIPART), _Offer(_DICOM, Framing.SINGLE_PART))
_SEVERAL_FRAMES_OFFERS: Final = _Offers(*_FRAMES_IN_PARTS)
_FRAME_OFFERS: Final = _Offers(*_FRAMES_IN_PARTS, *_FRAME_ALONE)
_STORE_OFFERS: Final = _Offers(*(_Offer(media_type, Framing.SINGLE_PART) for media_type in (*_JSON, _XML)))
_SEARCH_OFFERS: Final = _Offers(
    *(_Offer(media_type, Framing.SINGLE_PART) for media_type in _JSON),
    _Offer(_XML, Framing.MULTIPART),
    # Who asks for it like this means the same: a document has one object only (PS3.18 section 8.7.3.2).
    _Offer(_XML, Framing.SINGLE_PART),
)
_BULKDATA_OFFERS: Final = _Offers(_Offer(_OCTETS, Framing.SINGLE_PART), _Offer(_OCTETS, Framing.MULTIPART))


@dataclass(frozen=True, slots=True)
class _Wish:
    """A transfer syntax that the caller takes an offer in."""

    transfer_syntax: str | None
    quality: float
    specificity: int


def prefers_zip(accept: Accept) -> bool:
    """Return whether a search is to be answered with the objects themselves, as `ZIP`: only for who names it first.

    Raises
    ------
    NotAcceptableError
        If neither a search's media types nor that one is accepted, or the Accept is malformed.
    """
    offers = (*_SEARCH_OFFERS.all, _Offer(ZIP, Framing.SINGLE_PART))
    return _negotiated(accept, offers).media_type == ZIP


def negotiate_search(accept: Accept) -> Choice:
    """Choose for what a search finds: a JSON list, or XML with a part for each object.

    Raises
    ------
    NotAcceptableError
        If the caller takes neither, or sent a malformed Accept.
    """
    return _negotiate(accept, _SEARCH_OFFERS)


def negotiate_store(accept: Accept) -> str:
    """Return the Content-Type of the answer to a store request (PS3.18 section 10.5.3).

    Raises
    ------
    NotAcceptableError
        If the caller takes neither JSON nor XML, or sent a malformed Accept.
    """
    return _negotiate(accept, _STORE_OFFERS).media_type


def negotiate_dicom(accept: Accept, *, stored: str | None = None) -> Choice:
    """Choose for the instances of a study or series: multipart, or `ZIP` for who asks for that.

    ``stored`` is as in `negotiate_instance`; several instances have no one transfer syntax, so it is empty then.

    Raises
    ------
    NotAcceptableError
        If the caller takes neither, or sent a malformed Accept or transfer syntax.
    """
    if stored is not None:
        return _negotiated(accept, _DICOM_OFFERS.all, stored=stored)
    return _negotiate(accept, _DICOM_OFFERS)


def negotiate_instance(accept: Accept, *, stored: str | None = None) -> Choice:
    """Choose for one instance: multipart, or a single ``application/dicom`` body for who asks for that.

    Parameters
    ----------
    accept
        What the caller accepts.
    stored
        Where the store is neither to decode nor to encode: the transfer syntax that the instance has, from which alone
        is chosen then.

    Raises
    ------
    NotAcceptableError
        As `negotiate_dicom`, for both forms.
    """
    if stored is not None:
        return _negotiated(accept, _INSTANCE_OFFERS.all, stored=stored)
    return _negotiate(accept, _INSTANCE_OFFERS)


def negotiate_frames(accept: Accept, *, count: int, stored: str | None = None) -> Choice:
    """Choose for ``count`` frames; a single one may come as the body itself. ``stored`` is as in `negotiate_instance`.

    ``multipart/related`` with any type, and ``*/*``, mean ``application/octet-stream`` as stored.

    Raises
    ------
    NotAcceptableError
        If none of the frame media types of PS3.18 tables 8.7.3-2 to 8.7.3-5 is accepted, or the Accept is malformed.
    """
    offers = _FRAME_OFFERS if count == 1 else _SEVERAL_FRAMES_OFFERS
    return _negotiate(accept, offers) if stored is None else _negotiated(accept, offers.all, stored=stored)


def negotiate_bulkdata(accept: Accept, *, stored: str | None = None) -> Choice:
    """Choose for one bulk data value; who takes anything gets it as the body itself. ``stored`` is as for instances.

    Raises
    ------
    NotAcceptableError
        If ``application/octet-stream`` is not accepted in either form, or the Accept is malformed.
    """
    if stored is not None:
        return _negotiated(accept, _BULKDATA_OFFERS.all, stored=stored)
    return _negotiate(accept, _BULKDATA_OFFERS)


def negotiate_rendered(accept: Accept, media_types: Sequence[str], *, count: int = 1) -> Choice:
    """Choose for something that is shown: a picture, a document or a video.

    Parameters
    ----------
    accept
        What the caller accepts.
    media_types
        What it can be had as; the first one wins a draw.
    count
        How many there are; one is the body itself, more are parts of ``multipart/related``.

    Raises
    ------
    NotAcceptableError
        If none is accepted, or the Accept is malformed.
    """
    framing = Framing.SINGLE_PART if count == 1 else Framing.MULTIPART
    return _negotiated(accept, [_Offer(media_type, framing) for media_type in media_types])


def _negotiate(accept: Accept, offers: _Offers) -> Choice:
    if sum(map(len, accept.header)) + sum(map(len, accept.parameter)) > _REMEMBERED_LENGTH:
        return _negotiated(accept, offers.all)
    return _remembered(tuple(accept.header), tuple(accept.parameter), offers)


@lru_cache(maxsize=256)
def _remembered(header: tuple[str, ...], parameter: tuple[str, ...], offers: _Offers) -> Choice:
    # A viewer sends the same Accept with each frame, and comparing it with every offer costs as much as the decision.
    return _negotiated(Accept(header, parameter), offers.all)


def _negotiated(accept: Accept, offers: Sequence[_Offer], *, stored: str | None = None) -> Choice:
    available = [_describe(offer) for offer in offers]
    ranges = _ranges(accept, available)
    best: _Offer | None = None
    best_wishes: list[_Wish] = []
    best_quality = 0.0
    for offer in offers:
        wishes = _wishes(ranges, offer)
        if stored is not None:
            wishes = list(_as_stored(wishes, offer.media_type, stored))
        quality = max((wish.quality for wish in wishes), default=0.0)
        if quality > best_quality:
            best, best_wishes, best_quality = offer, wishes, quality
    if best is None:
        raise NotAcceptableError(available)
    names_syntax = any(_names_syntax(best.media_type, wish.transfer_syntax) for wish in best_wishes)
    return Choice(best.media_type, best.framing, _store_accept(best.media_type, best_wishes), names_syntax)


def _names_syntax(media_type: str, syntax: str | None) -> bool:
    if media_type in {_DICOM, _OCTETS}:
        return syntax not in {None, _ANY_SYNTAX}
    return media_type in _SYNTAXES_OF


def _as_stored(wishes: Iterable[_Wish], media_type: str, stored: str) -> Iterator[_Wish]:
    """Give the wishes that can be met by what is stored; between uncompressed forms there is no more than order."""
    if media_type in {_DICOM, _OCTETS}:
        met = {None, _ANY_SYNTAX, stored, *(_UNCOMPRESSED if stored in _UNCOMPRESSED else ())}
        yield from (wish for wish in wishes if wish.transfer_syntax in met)
    elif stored in _SYNTAXES_OF.get(media_type, ()):
        for wish in wishes:
            if wish.transfer_syntax in {None, _ANY_SYNTAX, stored}:
                yield replace(wish, transfer_syntax=stored)


def _ranges(accept: Accept, available: list[str]) -> tuple[MediaRange, ...]:
    # A plus sign in a query string decodes to a space; no media type holds one.
    parameter = [_JSON_WITH_LOST_PLUS.sub(r"\1+\2", value) for value in accept.parameter]
    try:
        ranges = parse_accept(parameter or accept.header)
    except MalformedMediaTypeError:
        raise NotAcceptableError(available) from None
    if not ranges and not any(value.strip() for value in (*parameter, *accept.header)):
        return parse_accept(["*/*"])
    return ranges


def _wishes(ranges: Iterable[MediaRange], offer: _Offer) -> list[_Wish]:
    """Return the acceptable transfer syntaxes of an offer, best first; none if it is not acceptable.

    Of the ranges that match, the most specific one decides (RFC 9110 section 12.5.1); of ranges that differ only by
    transfer syntax, each is a wish of its own.
    """
    wishes = [wish for wish in map(_matcher(offer), ranges) if wish is not None]
    most_specific = max((wish.specificity for wish in wishes), default=0)
    deciding = [wish for wish in wishes if wish.specificity == most_specific and wish.quality > 0]
    return sorted(deciding, key=lambda wish: -wish.quality)


def _matcher(offer: _Offer) -> Callable[[MediaRange], _Wish | None]:
    single = offer.framing is Framing.SINGLE_PART

    def match(candidate: MediaRange) -> _Wish | None:
        media_type = candidate.media_type
        if media_type.essence == "*/*":
            return _Wish(_syntax(media_type.parameters.get("transfer-syntax")), candidate.quality, 1)
        if single:
            specificity = _specificity(media_type, offer.media_type)
            syntax = _syntax(media_type.parameters.get("transfer-syntax"))
            return _Wish(syntax, candidate.quality, specificity) if specificity else None
        if media_type.type != "multipart" or media_type.subtype not in {"related", "*"}:
            return None
        specificity, syntax = _part(media_type, offer.media_type)
        return _Wish(_syntax(syntax), candidate.quality, 1 + specificity) if specificity else None

    def matched(candidate: MediaRange) -> _Wish | None:
        try:
            return match(candidate)
        except InvalidIdentifierError:
            return None

    return matched


def _part(media_type: MediaType, offered: str) -> tuple[int, str | None]:
    """Return how exactly a multipart range means the offered part type, and the transfer syntax that it names."""
    syntax = media_type.parameters.get("transfer-syntax")
    text = media_type.parameters.get("type")
    if text is None:
        return (1, syntax)
    try:
        part = parse_media_type(text)
    except MalformedMediaTypeError:
        return (0, None)
    # Some clients put the transfer syntax inside the quotes of the type.
    return (
        (1 + _specificity(part, offered), part.parameters.get("transfer-syntax", syntax))
        if _specificity(part, offered)
        else (0, None)
    )


def _specificity(media_type: MediaType, offered: str) -> int:
    essence = media_type.essence
    if _OTHER_NAMES.get(essence, essence) == offered.lower():
        return 3
    if media_type.subtype != "*":
        return 0
    if media_type.type == "*":
        return 1
    return 2 if media_type.type == offered.partition("/")[0] else 0


def _syntax(text: str | None) -> str | None:
    if text is None or text == _ANY_SYNTAX:
        return text
    return transfer_syntax_uid(text)


def _store_accept(media_type: str, wishes: Sequence[_Wish]) -> str:
    ranges: list[str] = []
    asked: set[str | None] = set()
    for wish in wishes:
        syntax = wish.transfer_syntax
        if syntax is None and media_type in {_DICOM, _OCTETS}:
            # For an image type, none asked means the type's own default syntax, which "*" does not.
            syntax = _ANY_SYNTAX
        if syntax in asked:
            continue
        asked.add(syntax)
        ranges.append(_store_range(media_type, syntax, wish.quality if len(wishes) > 1 else 1.0))
    return ", ".join(ranges)


def _store_range(media_type: str, transfer_syntax: str | None, quality: float) -> str:
    text = f'multipart/related; type="{media_type}"'
    if transfer_syntax is not None:
        text += f"; transfer-syntax={transfer_syntax}"
    return text if quality == 1 else f"{text}; q={quality:g}"


def _describe(offer: _Offer) -> str:
    if offer.framing is Framing.SINGLE_PART:
        return offer.media_type
    return f'multipart/related; type="{offer.media_type}"'
