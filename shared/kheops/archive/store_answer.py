"""What a store says about a STOW-RS request: PS3.18 annex I.2, as DICOM JSON or as Native DICOM Model XML."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree as ET

import msgspec

from kheops.archive.port import StoreOutcome
from kheops.ids import SopInstanceUID

__all__ = ["DUPLICATE", "PROCESSING_FAILURE", "read_store_answer"]

PROCESSING_FAILURE: Final = 0x0110
DUPLICATE: Final = 0x0111

_FAILED: Final = "00081198"
_REFERENCED: Final = "00081199"
_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_GOOGLE_DETAIL: Final = re.compile(r"0009[0-9A-F]{2}97")
_EXISTS: Final = "already exists"
"""Google answers 272 both for "exists with other bytes" and for "cannot be parsed"; only its detail differs."""
_REASONS: Final = range(1, 0x10000)


class _Element(msgspec.Struct):
    Value: list[msgspec.Raw] = []


_Item = dict[str, _Element]
_JSON: Final = msgspec.json.Decoder(_Item)
_TEXT: Final = msgspec.json.Decoder(str)
_NUMBER: Final = msgspec.json.Decoder(int)


def read_store_answer(body: bytes, sent: frozenset[SopInstanceUID]) -> StoreOutcome:
    """Return what ``body`` says about the instances of ``sent``.

    An answer that is neither JSON nor XML, or of another shape, says nothing about any of them. An instance that
    is listed both as stored and as failed counts as not mentioned.

    Parameters
    ----------
    body
        The body of the store's answer, whatever its status and media type: some stores send none.
    sent
        What we sent.
    """
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    stored, failed = _read_xml(text) if text.startswith(b"<") else _read_json(text)
    reasons = {SopInstanceUID(uid): reason for uid, reason in failed.items() if uid in sent}
    confirmed = frozenset(uid for uid in sent if uid in stored)
    contradicted = confirmed & reasons.keys()
    return StoreOutcome(
        stored=confirmed - contradicted,
        failed={uid: reason for uid, reason in reasons.items() if uid not in contradicted},
    )


def _read_json(body: bytes) -> tuple[set[str], dict[str, int]]:
    try:
        # Google has been seen to wrap an answer into an array of one.
        data = _JSON.decode(body) if not body.startswith(b"[") else msgspec.json.decode(body, type=list[_Item])[0]
        stored = {_json_text(item, _SOP_INSTANCE_UID) for item in _json_items(data, _REFERENCED)}
        failed = {
            _json_text(item, _SOP_INSTANCE_UID): _reason(_json_number(item), _json_details(item))
            for item in _json_items(data, _FAILED)
        }
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        return set(), {}
    return stored, failed


def _json_items(data: Mapping[str, _Element], tag: str) -> Iterable[_Item]:
    element = data.get(tag)
    return () if element is None else [_JSON.decode(raw) for raw in element.Value]


def _json_text(item: _Item, tag: str) -> str:
    element = item.get(tag)
    return _TEXT.decode(element.Value[0]) if element is not None and element.Value else ""


def _json_number(item: _Item) -> int | None:
    element = item.get(_FAILURE_REASON)
    try:
        return _NUMBER.decode(element.Value[0]) if element is not None and element.Value else None
    except msgspec.ValidationError:
        return None


def _json_details(item: _Item) -> str:
    return " ".join(
        bytes(raw).decode("utf-8", "replace")
        for tag, element in item.items()
        if _GOOGLE_DETAIL.fullmatch(tag)
        for raw in element.Value
    )


def _read_xml(body: bytes) -> tuple[set[str], dict[str, int]]:
    try:
        text = body.decode("utf-8")
        if "<!DOCTYPE" in text:
            return set(), {}
        root = ET.fromstring(text)  # noqa: S314 - bounded, and without a DOCTYPE there are no entities to expand
    except (ET.ParseError, UnicodeDecodeError, ValueError):
        return set(), {}
    stored = {_xml_text(item, _SOP_INSTANCE_UID) for item in _xml_items(root, _REFERENCED)}
    failed = {}
    for item in _xml_items(root, _FAILED):
        number = _xml_text(item, _FAILURE_REASON)
        details = " ".join(
            "".join(attribute.itertext())
            for attribute in item.findall("{*}DicomAttribute")
            if _GOOGLE_DETAIL.fullmatch(attribute.get("tag", ""))
        )
        failed[_xml_text(item, _SOP_INSTANCE_UID)] = _reason(int(number) if number.isdecimal() else None, details)
    return stored, failed


def _xml_items(root: ET.Element, tag: str) -> Iterable[ET.Element]:
    return root.iterfind(f"{{*}}DicomAttribute[@tag='{tag}']/{{*}}Item")


def _xml_text(item: ET.Element, tag: str) -> str:
    value = item.find(f"{{*}}DicomAttribute[@tag='{tag}']/{{*}}Value")
    return (value.text or "").strip() if value is not None else ""


def _reason(number: int | None, details: str) -> int:
    if _EXISTS in details.lower():
        return DUPLICATE
    return number if number in _REASONS and number is not None else PROCESSING_FAILURE
