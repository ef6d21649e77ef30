"""The DICOM JSON Model (PS3.18 annex F): elements for our own answers, and the store's metadata passed on.

Metadata is never parsed into objects: `ArraySplitter` cuts the store's array into its elements as bytes, and
`rewrite_metadata` replaces the addresses inside one of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from kheops.dicomweb.attributes import BY_KEYWORD
from kheops.errors import ArchiveProtocolError, InvalidIdentifierError
from kheops.ids import (
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    series_instance_uid,
    sop_instance_uid,
    study_instance_uid,
)

__all__ = [
    "DataSet",
    "Element",
    "InstanceUIDs",
    "data_set",
    "element",
    "encode",
    "rewrite_metadata",
    "sequence",
]

Element = Mapping[str, object]
"""``{"vr": ..., "Value": [...]}``."""
DataSet = Mapping[str, Element]
"""Elements by tag, in ascending order."""

_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER_VRS: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMAL_VRS: Final = frozenset({"DS", "FD", "FL"})

_RETRIEVE_URL: Final = b'"00081190"'
_BULKDATA_KEY: Final = b'"BulkDataURI"'
_BULKDATA: Final = re.compile(
    rb'"BulkDataURI"\s*+:\s*+(?:(?P<uri>"[^"\\]*+(?:\\.[^"\\]*+)*+")(?P<after>\s*+,)?)?', re.DOTALL
)
_BLANK_OR_COMMA: Final = frozenset(b" \t\r\n,")


@dataclass(frozen=True, slots=True)
class InstanceUIDs:
    """The identifiers that an instance's metadata gives itself."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SopInstanceUID


def element(keyword: str, value: str | int | Sequence[str] = "") -> Element:
    """Return one element of our own.

    Parameters
    ----------
    keyword
        One of `kheops.dicomweb.attributes`.
    value
        A value, or several. Numbers of ``IS``, ``US`` and the like become JSON numbers, person names objects with
        their groups. An empty value gives an element without ``Value`` (PS3.18 section F.2.5), a number that is
        none does as well.

    Raises
    ------
    KeyError
        If the keyword is not in the table: a fault of the program.
    """
    vr = BY_KEYWORD[keyword].vr
    values = [str(value)] if isinstance(value, str | int) else value
    converted = [json_value for each in values if (json_value := _json_value(vr, each)) is not None]
    return {"vr": vr, "Value": converted} if converted else {"vr": vr}


def sequence(keyword: str, items: Sequence[DataSet]) -> Element:
    """Return a sequence of our own; an empty one has no ``Value``. Raises `KeyError` as `element` does."""
    vr = BY_KEYWORD[keyword].vr
    return {"vr": vr, "Value": list(items)} if items else {"vr": vr}


def data_set(elements: Mapping[str, Element]) -> DataSet:
    """Return elements that were given by keyword under their tags, in ascending order."""
    return dict(sorted((BY_KEYWORD[keyword].key, each) for keyword, each in elements.items()))


def encode(answer: DataSet | Sequence[DataSet]) -> bytes:
    """Return JSON in UTF-8."""
    return msgspec.json.encode(answer)


def _json_value(vr: str, text: str) -> object:
    if not text:
        return None
    if vr == "PN":
        groups = {name: group for name, group in zip(_GROUPS, text.split("="), strict=False) if group}
        return groups or None
    if vr in _INTEGER_VRS:
        try:
            return int(text)
        except ValueError:
            return None
    if vr in _DECIMAL_VRS:
        try:
            return float(text)
        except ValueError:
            return None
    return text


class _Uid(msgspec.Struct):
    value: list[str] = msgspec.field(name="Value", default_factory=list)


class _Identity(msgspec.Struct):
    study: _Uid = msgspec.field(name="0020000D", default_factory=_Uid)
    series: _Uid = msgspec.field(name="0020000E", default_factory=_Uid)
    instance: _Uid = msgspec.field(name="00080018", default_factory=_Uid)


_IDENTITY: Final = msgspec.json.Decoder(_Identity)
_ELEMENTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def rewrite_metadata(
    raw: bytes,
    *,
    keep: Callable[[SopInstanceUID], bool],
    public_uri: Callable[[InstanceUIDs, str], str | None],
) -> bytes | None:
    """Return one instance's metadata as the caller may have it, or ``None`` if not at all.

    Parameters
    ----------
    raw
        The JSON object as the store sent it.
    keep
        Whether the caller may have the instance.
    public_uri
        Our address for a BulkDataURI of the store, or ``None`` to drop it; called for each, at any depth. It must not
        raise for text of any kind.

    Returns
    -------
    bytes or None
        The same bytes where nothing had to be replaced; numbers and text are never re-written. ``None`` also where
        the object does not identify itself: what cannot be decided on is not passed on. A RetrieveURL, which would
        be the store's own address, is left out.

    Raises
    ------
    ArchiveProtocolError
        If ``raw`` is not JSON, or a BulkDataURI is no string.
    """
    uids = _identity(raw)
    if uids is None or not keep(uids.sop_instance_uid):
        return None
    if _RETRIEVE_URL in raw:
        elements = _ELEMENTS.decode(raw)
        elements.pop("00081190", None)
        raw = msgspec.json.encode(elements)
    if _BULKDATA_KEY not in raw:
        return raw
    return _rewrite_addresses(raw, uids, public_uri)


def _identity(raw: bytes) -> InstanceUIDs | None:
    try:
        identity = _IDENTITY.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ArchiveProtocolError("The store's metadata is not JSON of the DICOM JSON Model.") from None
    try:
        return InstanceUIDs(
            study_instance_uid(_only(identity.study)),
            series_instance_uid(_only(identity.series)),
            sop_instance_uid(_only(identity.instance)),
        )
    except InvalidIdentifierError:
        return None


def _only(uid: _Uid) -> str:
    return uid.value[0] if len(uid.value) == 1 else ""


def _rewrite_addresses(raw: bytes, uids: InstanceUIDs, public_uri: Callable[[InstanceUIDs, str], str | None]) -> bytes:
    rewritten = bytearray()
    position = 0
    for match in _BULKDATA.finditer(raw):
        quoted: bytes | None = match["uri"]
        if quoted is None:
            raise ArchiveProtocolError("The store's metadata has a BulkDataURI that is no string.")
        rewritten += raw[position : match.start()]
        position = match.end()
        uri = public_uri(uids, msgspec.json.decode(quoted, type=str))
        if uri is not None:
            rewritten += _BULKDATA_KEY + b":" + msgspec.json.encode(uri) + (match["after"] or b"")
        elif match["after"] is None:
            # The last member of its object: the comma before it goes with it, as the one behind any other does.
            while rewritten[-1] in _BLANK_OR_COMMA:
                rewritten.pop()
    return bytes(rewritten + raw[position:])
