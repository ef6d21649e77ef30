"""DICOM files (PS3.10 section 7), checked to their last byte as they arrive, and what their head says.

`Part10Scanner` never holds a file: it keeps the attributes that decide about storing and that the catalog wants, and
walks over the rest.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kheops.dicomweb.attributes import CATALOGED_ATTRIBUTES, Attribute, Level, normalise
from kheops.dicomweb.character_sets import decode_text
from kheops.dicomweb.data_set import (
    IDENTIFYING_TAGS,
    DataSetWalker,
    DoubtfulIdentityError,
    NotDicomError,
    TruncatedFileError,
    UnreadableDicomError,
)
from kheops.dicomweb.meta_element import meta_element
from kheops.errors import InvalidIdentifierError
from kheops.ids import (
    SeriesInstanceUID,
    SopClassUID,
    SopInstanceUID,
    StudyInstanceUID,
    TransferSyntaxUID,
    series_instance_uid,
    sop_class_uid,
    sop_instance_uid,
    study_instance_uid,
    transfer_syntax_uid,
)

__all__ = [
    "DoubtfulIdentityError",
    "Head",
    "NotDicomError",
    "OtherClassError",
    "Part10Scanner",
    "TruncatedFileError",
    "UnreadableDicomError",
    "identify",
    "read_head",
]

_PREFIX: Final = 132
"""Bytes of preamble and ``DICM``."""
_MAX_META: Final = 256 * 1024
"""Bytes of file meta information that are held; it is some 300 in practice."""
_META_GROUP: Final = 0x0002
_GROUP_LENGTH: Final = 0x00020000
_META_SOP_CLASS: Final = 0x00020002
_META_SOP_INSTANCE: Final = 0x00020003
_TRANSFER_SYNTAX: Final = 0x00020010

_IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_EXPLICIT_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"},
)
_INFLATE_STEP: Final = 256 * 1024
_MAX_INFLATED: Final = 1024**3
"""Bytes of an inflated data set: a second or two of work, and more than any deflated object in practice."""
_MAX_BEHIND: Final = 9
"""Bytes behind a deflated data set: the trailer that gzip has and some writers leave, and one that pads the file."""

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_LAST_OF_HEAD: Final = max(attribute.tag for attribute in CATALOGED_ATTRIBUTES)

_US_BYTES: Final = 2
_MAX_UID_BYTES: Final = 66
"""A UID of 64 characters with padding that somebody overdid."""
_MAX_TEXT_BYTES: Final = 4096
"""Larger values of text attributes are dropped: none of ours may have more than some hundred characters."""
_WANTED: Final[Mapping[int, int]] = {
    _SPECIFIC_CHARACTER_SET: 512,
    **{attribute.tag: _MAX_TEXT_BYTES for attribute in CATALOGED_ATTRIBUTES},
    **dict.fromkeys(IDENTIFYING_TAGS, _MAX_UID_BYTES),
}


class OtherClassError(UnreadableDicomError):
    """The file meta information names another SOP Class than the data set."""

    code = "other-sop-class"


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a file says: its identifiers, and the attributes that the catalog keeps, by keyword.

    Attributes that are absent, empty or of no use are left out. Numbers are decimal strings, person names have
    DICOM's form ``Alphabetic=Ideographic=Phonetic``.
    """

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SopInstanceUID
    sop_class_uid: SopClassUID
    transfer_syntax_uid: TransferSyntaxUID
    patient_study: Mapping[str, str]
    series: Mapping[str, str]
    instance: Mapping[str, str]
    altered: tuple[str, ...] = ()
    """Keywords of attributes that the file has otherwise: left out, or of several values the first."""


class _State(Enum):
    PREFIX = auto()
    META = auto()
    DATA_SET = auto()
    DEFLATED = auto()


class Part10Scanner:
    """Checks one DICOM file while it passes.

    Feed every byte of the file in order, then call `close`. As soon as `head_complete`, `head` returns what it would
    return at the end; the rest of the file can still turn out to be unreadable.

    Parameters
    ----------
    max_inflated_bytes
        Limit of a deflated data set's inflated size; more is refused.
    """

    def __init__(self, *, max_inflated_bytes: int = _MAX_INFLATED) -> None:
        self._state = _State.PREFIX
        self._held = b""
        self._meta: dict[int, bytes] = {}
        self._walker: DataSetWalker | None = None
        self._meta_end: int | None = None
        self._position = 0
        self._inflater: zlib._Decompress | None = None
        self._inflatable = max_inflated_bytes
        self._behind = 0

    @property
    def head_complete(self) -> bool:
        """Whether every attribute that `head` looks for has been passed."""
        return self._walker is not None and self._walker.largest_tag > _LAST_OF_HEAD

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes.

        Raises
        ------
        NotDicomError
            If the file does not begin with a preamble and ``DICM``.
        UnreadableDicomError
            If the file meta information or the data set is malformed, names no transfer syntax, or inflates to more
            than the limit.
        """
        if self._state is _State.DATA_SET:
            assert self._walker is not None
            self._walker.feed(chunk)
            return
        if self._state is _State.DEFLATED:
            self._inflate(chunk)
            return
        self._held += chunk
        if self._state is _State.PREFIX:
            self._read_prefix()
        if self._state is _State.META:
            self._read_meta()

    def close(self) -> None:
        """Say that the file is over.

        Raises
        ------
        TruncatedFileError
            If it ends inside an element, or before the first one behind the file meta information.
        NotDicomError
            If it is too short to be a DICOM file.
        """
        if self._state is _State.PREFIX:
            raise NotDicomError("The file is shorter than the start of a DICOM file.")
        if self._walker is None or (self._inflater is not None and not self._inflater.eof):
            raise TruncatedFileError("The file ends inside an element.")
        self._walker.close()
        if self._walker.largest_tag < 0:
            raise TruncatedFileError("The file ends before its data set.")

    def head(self) -> Head:
        """Return the head, from what has been read so far.

        Raises
        ------
        UnreadableDicomError
            If an identifier is absent, empty or ill-formed, or the file meta information names another SOP Instance.
        OtherClassError
            If the file meta information names another SOP Class.
        """
        head = self.identity()
        for tag, uid, error in (
            (_META_SOP_CLASS, head.sop_class_uid, OtherClassError),
            (_META_SOP_INSTANCE, head.sop_instance_uid, UnreadableDicomError),
        ):
            if self._meta.get(tag) and _uid(self._meta, tag) != uid:
                raise error("The file meta information names another object than the data set.")
        return head

    def identity(self) -> Head:
        """Return the head by the data set's word alone, whatever the file meta information says.

        Raises
        ------
        UnreadableDicomError
            If an identifier is absent, empty or ill-formed.
        """
        values = self._walker.values if self._walker is not None else {}
        altered: list[str] = []
        try:
            return Head(
                study_instance_uid=study_instance_uid(_uid(values, _STUDY)),
                series_instance_uid=series_instance_uid(_uid(values, _SERIES)),
                sop_instance_uid=sop_instance_uid(_uid(values, _SOP_INSTANCE)),
                sop_class_uid=sop_class_uid(_uid(values, _SOP_CLASS)),
                transfer_syntax_uid=transfer_syntax_uid(_uid(self._meta, _TRANSFER_SYNTAX)),
                patient_study=self._attributes(Level.STUDY, values, altered),
                series=self._attributes(Level.SERIES, values, altered),
                instance=self._attributes(Level.INSTANCE, values, altered),
                altered=tuple(altered),
            )
        except InvalidIdentifierError:
            raise UnreadableDicomError("A UID that identifies the object is absent, empty or ill-formed.") from None

    def _read_prefix(self) -> None:
        if len(self._held) < _PREFIX:
            return
        if self._held[_PREFIX - 4 : _PREFIX] != b"DICM":
            raise NotDicomError("The file has no DICOM preamble.")
        self._held = self._held[_PREFIX:]
        self._state = _State.META

    def _read_meta(self) -> None:
        """Read file meta information (PS3.10 section 7.1): Explicit VR Little Endian, whatever comes behind it."""
        while self._meta_end is None or self._position < self._meta_end:
            element = meta_element(self._held, self._position)
            if element is None:
                break
            if element.tag >> 16 != _META_GROUP:
                self._end_meta()
                return
            value_end = element.value_at + element.length
            if value_end > _MAX_META:
                raise UnreadableDicomError("The file meta information is too long.")
            if value_end > len(self._held):
                break
            if element.tag in self._meta:
                raise UnreadableDicomError("The file meta information repeats an element.")
            self._meta[element.tag] = self._held[element.value_at : value_end]
            self._position = value_end
            if element.tag == _GROUP_LENGTH and element.length == 4:  # noqa: PLR2004 - a UL
                self._meta_end = value_end + int.from_bytes(self._meta[_GROUP_LENGTH], "little")
        else:
            self._end_meta()

    def _end_meta(self) -> None:
        if self._meta_end not in {None, self._position}:
            raise UnreadableDicomError("The length of the file meta information is wrong.")
        syntax = _uid(self._meta, _TRANSFER_SYNTAX)
        if not syntax:
            raise UnreadableDicomError("The file names no transfer syntax.")
        self._walker = DataSetWalker(
            explicit_vr=syntax != _IMPLICIT_LITTLE_ENDIAN,
            little_endian=syntax != _EXPLICIT_BIG_ENDIAN,
            wanted=_WANTED,
        )
        following, self._held = self._held[self._position :], b""
        if syntax in _DEFLATED:
            # PS3.5 annex A.5: the raw stream of RFC 1951, without zlib's header.
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            self._state = _State.DEFLATED
            self._inflate(following)
        else:
            self._state = _State.DATA_SET
            self._walker.feed(following)

    def _inflate(self, data: bytes) -> None:
        assert self._walker is not None
        assert self._inflater is not None
        ended = self._inflater.eof
        while not self._inflater.eof:
            try:
                inflated = self._inflater.decompress(data, _INFLATE_STEP)
            except zlib.error:
                raise UnreadableDicomError("The deflated data set is corrupt.") from None
            self._inflatable -= len(inflated)
            if self._inflatable < 0:
                raise UnreadableDicomError("The deflated data set inflates to more than the limit.")
            self._walker.feed(inflated)
            data = self._inflater.unconsumed_tail
            if not data and len(inflated) < _INFLATE_STEP:
                break
        self._behind += len(data) if ended else len(self._inflater.unused_data)
        if self._behind > _MAX_BEHIND:
            raise UnreadableDicomError("Something follows the deflated data set.")

    def _attributes(self, level: Level, values: Mapping[int, bytes], altered: list[str]) -> dict[str, str]:
        """Return the attributes of a level, and add to ``altered`` those that are not as the file has them."""
        too_long = self._walker.too_long if self._walker is not None else frozenset()
        character_set = values.get(_SPECIFIC_CHARACTER_SET, b"").decode("ascii", "replace").rstrip(" \0")
        found: dict[str, str] = {}
        for attribute in CATALOGED_ATTRIBUTES:
            if attribute.level is level:
                text = self._text(attribute, values, character_set)
                value = normalise(attribute, text) if text else None
                if value is not None:
                    found[attribute.keyword] = value
                lost = value is None and values.get(attribute.tag, b"").strip(b" \0") != b""
                if lost or "\\" in text or attribute.tag in too_long:
                    altered.append(attribute.keyword)
        return found

    def _text(self, attribute: Attribute, values: Mapping[int, bytes], character_set: str) -> str:
        if attribute.keyword == "AvailableTransferSyntaxUID":
            return _uid(self._meta, _TRANSFER_SYNTAX)
        raw = values.get(attribute.tag, b"")
        if attribute.vr == "US":
            big_endian = _uid(self._meta, _TRANSFER_SYNTAX) == _EXPLICIT_BIG_ENDIAN
            return str(int.from_bytes(raw[:2], "big" if big_endian else "little")) if len(raw) >= _US_BYTES else ""
        if attribute.vr == "UI":
            return _uid(values, attribute.tag)
        if attribute.vr in {"DA", "TM", "IS", "CS"}:
            # PS3.5 section 6.2 allows these the default repertoire alone.
            return raw.decode("ascii") if raw.isascii() else ""
        return decode_text(raw.rstrip(b"\0"), vr=attribute.vr, specific_character_set=character_set)


def _uid(values: Mapping[int, bytes], tag: int) -> str:
    """Return a UID without its padding: a zero, or the space that some writers use."""
    return values.get(tag, b"").decode("ascii", "replace").rstrip("\0 ")


def read_head(data: bytes, *, complete: bool) -> Head:
    """Return the head of a file.

    Parameters
    ----------
    data
        The file, or its beginning: up to the last attribute of the head (0040,0245), or as much of it as the caller
        is ready to hold.
    complete
        Whether ``data`` is the whole file; it is then checked to its end.

    Raises
    ------
    UnreadableDicomError
        As `Part10Scanner.feed`, `Part10Scanner.head` and, where complete, `Part10Scanner.close`. Also when the
        identifiers do not lie within ``data``.
    """
    scanner = Part10Scanner()
    scanner.feed(data)
    if complete:
        scanner.close()
    return scanner.head()


def identify(data: bytes) -> Head:
    """Return which object a file that cannot be stored is of, as far as it can be read.

    Parameters
    ----------
    data
        The file, or its beginning.

    Raises
    ------
    NotDicomError
        If it is no PS3.10 file.
    DoubtfulIdentityError
        If readers may differ about which object it is.
    UnreadableDicomError
        If it cannot be read as far as its identifiers, or one of them is ill-formed.
    """
    scanner = Part10Scanner()
    try:
        scanner.feed(data)
    except (NotDicomError, DoubtfulIdentityError):
        raise
    except UnreadableDicomError:
        # What was passed before stands; without a walker `identity` finds nothing.
        pass
    return scanner.identity()
