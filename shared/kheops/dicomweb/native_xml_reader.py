"""Reading the Native DICOM Model (PS3.19 annex A.1) into the DICOM JSON Model (PS3.18 annex F).

A document type declaration is refused, and with it every entity but those of XML itself: nothing outside the document
is ever read, and nothing in it grows.
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

from kheops.dicomweb.data_set import UnreadableDicomError

__all__ = ["read_native_model"]

_MAX_DEPTH: Final = 400
"""Open elements of the document; 60 nested sequences are 180."""
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_VR: Final = re.compile(r"[A-Z]{2}")
_GROUPS: Final = frozenset({"Alphabetic", "Ideographic", "Phonetic"})
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_BLOCKS: Final = range(0x10, 0x100)
_MOST_MISSING: Final = 10_000
"""Values of one document that a higher number passes over: each is filled in, and costs nothing to leave out."""

_DataSet = dict[str, dict[str, object]]


def read_native_model(document: bytes) -> Mapping[str, Mapping[str, object]]:
    """Return the data set of a document.

    Parameters
    ----------
    document
        One ``NativeDicomModel``, with or without its namespace.

    Returns
    -------
    Mapping
        Elements by tag in upper case, each with ``vr`` and at most one of ``Value``, ``BulkDataURI`` and
        ``InlineBinary``. Values that are no items or person names are text.

    Raises
    ------
    UnreadableDicomError
        If it is not well-formed, has a document type, or breaks the model.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_document_type
    try:
        parser.Parse(document, True)  # noqa: FBT003 - expat's own
    except (expat.ExpatError, ValueError, LookupError):
        raise UnreadableDicomError("The metadata is no well-formed XML.") from None
    return reader.data_set


class _Reader:
    """Builds the data set as the parser goes."""

    def __init__(self) -> None:
        self.data_set: _DataSet = {}
        self._open: list[str] = []
        self._sets: list[_DataSet] = [self.data_set]
        self._elements: list[dict[str, object]] = []
        self._number = 0
        self._missing = 0
        self._name: dict[str, str] = {}
        self._components: dict[str, str] = {}
        self._group = ""
        self._text: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(" ")[2]
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        if len(self._open) > _MAX_DEPTH:
            raise UnreadableDicomError("The metadata nests too deeply.")
        self._text = []
        match parent, name:
            case ("", "NativeDicomModel"):
                pass
            case ("NativeDicomModel" | "Item", "DicomAttribute"):
                self._begin_element(attributes)
            case ("DicomAttribute", "Value" | "PersonName" | "Item"):
                self._begin_value(name, attributes)
            case ("DicomAttribute", "BulkData"):
                self._elements[-1]["BulkDataURI"] = attributes.get("uri") or attributes.get("uuid", "")
            case ("DicomAttribute", "InlineBinary"):
                pass
            case ("PersonName", group) if group in _GROUPS:
                self._group, self._components = group, {}
            case (group, component) if group in _GROUPS and component in _COMPONENTS:
                pass
            case _:
                raise UnreadableDicomError("The metadata is no Native DICOM Model.")

    def end(self, name: str) -> None:
        name = name.rpartition(" ")[2]
        self._open.pop()
        text, self._text = "".join(self._text), []
        match name:
            case "DicomAttribute":
                self._elements.pop()
            case "Value":
                self._put(text)
            case "InlineBinary":
                self._elements[-1]["InlineBinary"] = "".join(text.split())
            case "PersonName":
                self._put(self._name)
            case "Item":
                self._sets.pop()
            case group if group in _GROUPS:
                components = [self._components.get(each, "") for each in _COMPONENTS]
                self._name[group] = "^".join(components).rstrip("^")
            case component if component in _COMPONENTS:
                self._components[component] = text
            case _:
                pass

    def text(self, text: str) -> None:
        self._text.append(text)

    def refuse_document_type(self, *_: object) -> None:
        raise UnreadableDicomError("The metadata has a document type, which is not read.")

    def _begin_element(self, attributes: Mapping[str, str]) -> None:
        tag, vr = attributes.get("tag", ""), attributes.get("vr", "")
        if _TAG.fullmatch(tag) is None or _VR.fullmatch(vr) is None:
            raise UnreadableDicomError("An attribute of the metadata has no tag or no value representation.")
        here = self._sets[-1]
        key = tag.upper()
        creator = attributes.get("privateCreator")
        if creator is not None:
            key = _private(here, key, creator)
        if key in here:
            raise UnreadableDicomError("The metadata repeats an attribute.")
        element: dict[str, object] = {"vr": vr}
        here[key] = element
        self._elements.append(element)

    def _begin_value(self, name: str, attributes: Mapping[str, str]) -> None:
        number = attributes.get("number", "")
        values = self._values()
        self._number = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 0  # noqa: PLR2004 - well above the limit
        self._missing += self._number - 1 - len(values)
        if len(values) >= self._number or self._missing > _MOST_MISSING:
            raise UnreadableDicomError("The values of an attribute of the metadata are not numbered in order.")
        self._name = {}
        if name == "Item":
            item: _DataSet = {}
            self._put(item)
            self._sets.append(item)

    def _put(self, value: object) -> None:
        values = self._values()
        values.extend([None] * (self._number - 1 - len(values)))
        values.append(value)

    def _values(self) -> list[object]:
        values = self._elements[-1].setdefault("Value", [])
        assert isinstance(values, list)
        return values


def _private(here: _DataSet, key: str, creator: str) -> str:
    """Return the tag of a private element in the block of its creator, which is reserved where it is not."""
    group = key[:4]
    for block in _BLOCKS:
        reserved = f"{group}00{block:02X}"
        if reserved not in here:
            here[reserved] = {"vr": "LO", "Value": [creator]}
        if here[reserved].get("Value") == [creator]:
            return f"{group}{block:02X}{key[6:]}"
    raise UnreadableDicomError("The metadata has too many private creators.")
