"""Writing the Native DICOM Model (PS3.19 annex A.1) from data sets in the DICOM JSON Model (PS3.18 annex F)."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape, quoteattr

__all__ = ["XML", "native_model"]

XML: Final = "application/dicom+xml"

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_TAIL: Final = "</NativeDicomModel>\n"
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can hold in no form (section 2.2); DICOM text may."""
_ENTITIES: Final = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
"""Written as references: a reader makes one line end of all kinds, and none at all of them in attributes."""
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_FIRST_OF_BLOCKS: Final = 0x1000
"""Private elements below it are creators (PS3.5 section 7.8.1)."""


def native_model(data_set: Mapping[str, object]) -> bytes:
    """Return a data set as an XML document of its own.

    Parameters
    ----------
    data_set
        Elements by tag of eight hexadecimal digits, each with ``vr`` and at most one of ``Value``, ``BulkDataURI``
        and ``InlineBinary``. Members of other names or types are left out.

    Notes
    -----
    Characters that XML cannot hold become U+FFFD. Tags of private elements are written with block 00 and
    ``privateCreator`` where the creator stands in the data set (PS3.19 table A.1.5-2).
    """
    return "".join((_HEAD, *_elements(data_set), _TAIL)).encode("utf-8", "replace")


def _elements(data_set: Mapping[str, object]) -> Iterator[str]:
    for key in sorted(data_set):
        element = data_set[key]
        if isinstance(element, Mapping):
            yield from _element(key, element, _creator(key, data_set))


def _element(key: str, element: Mapping[object, object], creator: str | None) -> Iterator[str]:
    tag = key if creator is None else f"{key[:4]}00{key[6:]}"
    yield f"<DicomAttribute tag={_quoted(tag)} vr={_quoted(str(element.get('vr', 'UN')))}"
    if creator is not None:
        yield f" privateCreator={_quoted(creator)}"
    elif keyword := _keyword(key):
        yield f" keyword={_quoted(keyword)}"
    yield ">"
    uri, inline, values = element.get("BulkDataURI"), element.get("InlineBinary"), element.get("Value")
    if isinstance(uri, str):
        yield f"<BulkData uri={_quoted(uri)}/>"
    elif isinstance(inline, str):
        yield f"<InlineBinary>{_text(inline)}</InlineBinary>"
    elif isinstance(values, list | tuple):
        for number, value in enumerate(values, 1):
            yield from _value(number, value, is_name=element.get("vr") == "PN")
    yield "</DicomAttribute>"


def _value(number: int, value: object, *, is_name: bool) -> Iterator[str]:
    if is_name and isinstance(value, Mapping):
        yield f'<PersonName number="{number}">'
        for group in _GROUPS:
            text = value.get(group)
            if isinstance(text, str) and text:
                yield f"<{group}>{_name(text)}</{group}>"
        yield "</PersonName>"
    elif isinstance(value, Mapping):
        yield f'<Item number="{number}">'
        yield from _elements(value)
        yield "</Item>"
    elif value is not None:
        # An empty one is told by the number that is missing.
        yield f'<Value number="{number}">{_text(str(value))}</Value>'


def _name(group: str) -> str:
    components = group.split("^", len(_COMPONENTS) - 1)
    return "".join(
        f"<{name}>{_text(component)}</{name}>"
        for name, component in zip(_COMPONENTS, components, strict=False)
        if component
    )


def _creator(key: str, data_set: Mapping[str, object]) -> str | None:
    try:
        group, element = int(key[:4], 16), int(key[4:], 16)
    except ValueError:
        return None
    if group % 2 == 0 or element < _FIRST_OF_BLOCKS:
        return None
    creator = data_set.get(f"{key[:4]}00{key[4:6]}")
    values = creator.get("Value") if isinstance(creator, Mapping) else None
    return values[0] if isinstance(values, list | tuple) and values and isinstance(values[0], str) else None


@lru_cache(maxsize=4096)
def _keyword(key: str) -> str:
    # The dictionary takes a quarter of a second to load, which only who asks for XML pays.
    from pydicom.datadict import keyword_for_tag

    try:
        return keyword_for_tag(int(key, 16))
    except ValueError:
        return ""


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text), _ENTITIES)


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text), _ENTITIES)
