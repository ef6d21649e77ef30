import json

from kheops.archive.port import StoreOutcome
from kheops.archive.store_answer import read_store_answer
from kheops.ids import SopInstanceUID

ONE, TWO, THREE = SopInstanceUID("1.1"), SopInstanceUID("1.2"), SopInstanceUID("1.3")
SENT = frozenset({ONE, TWO, THREE})
WITH_ENTITY = (
    b'<!DOCTYPE x [<!ENTITY e "1.1">]><NativeDicomModel><DicomAttribute tag="00081199"><Item><DicomAttribute'
    b' tag="00081155"><Value>&e;</Value></DicomAttribute></Item></DicomAttribute></NativeDicomModel>'
)


def _failed(uid: str, reason: object, detail: str | None = None) -> dict[str, object]:
    item: dict[str, object] = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    if detail is not None:
        item["00091097"] = {"vr": "LT", "Value": [detail]}
    return item


def _json(*, stored: list[str], failed: list[dict[str, object]]) -> bytes:
    return json.dumps(
        {
            "00081198": {"vr": "SQ", "Value": failed},
            "00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in stored]},
        }
    ).encode()


def test_only_what_was_sent_counts() -> None:
    outcome = read_store_answer(_json(stored=[ONE, "9.9"], failed=[_failed("8.8", 272)]), SENT)
    assert outcome == StoreOutcome(frozenset({ONE}))


def test_vendor_reasons_become_processing_failure() -> None:
    body = _json(stored=[], failed=[_failed(ONE, 0xC000), _failed(TWO, 700_000), _failed(THREE, "272")])
    assert read_store_answer(body, SENT).failed == {ONE: 0xC000, TWO: 0x0110, THREE: 0x0110}


def test_google_detail_tells_existing_from_bad() -> None:
    body = _json(
        stored=[],
        failed=[_failed(ONE, 272, "instance already exists and differs"), _failed(TWO, 272, "could not be parsed")],
    )
    assert read_store_answer(body, SENT).failed == {ONE: 0x0111, TWO: 0x0110}


def test_instance_listed_both_ways_is_not_mentioned() -> None:
    assert read_store_answer(_json(stored=[ONE, TWO], failed=[_failed(ONE, 272)]), SENT) == StoreOutcome(
        frozenset({TWO})
    )


def test_array_of_one_is_read() -> None:
    assert read_store_answer(b"[" + _json(stored=[ONE], failed=[]) + b"]", SENT).stored == {ONE}


def test_empty_sequences_say_nothing() -> None:
    body = b'{"00081198": {"vr": "SQ"}, "00081199": {"vr": "SQ"}}'
    assert read_store_answer(body, SENT) == StoreOutcome(frozenset())


def test_unreadable_answers_say_nothing() -> None:
    for body in (
        b"",
        b"[]",
        b"{}x",
        b"\xff\xfe",
        b"Service Unavailable",
        b"<html><p>not closed",
        b'{"00081199": {"Value": [7]}}',
        b'{"00081199": {"Value": [{"00081155": {"Value": [{}]}}]}}',
        WITH_ENTITY,
    ):
        assert read_store_answer(body, SENT) == StoreOutcome(frozenset()), body


def test_xml_is_read_with_and_without_namespace() -> None:
    for namespace in ("", ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'):
        body = f"""<?xml version="1.0" encoding="utf-8"?><NativeDicomModel{namespace}>
          <DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence">
            <Item number="1">
              <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2</Value></DicomAttribute>
              <DicomAttribute tag="00081197" vr="US"><Value number="1">272</Value></DicomAttribute>
              <DicomAttribute tag="00090097" vr="LT" privateCreator="GOOGLE"><Value number="1">Already exists</Value>
              </DicomAttribute></Item>
            <Item number="2">
              <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.3</Value></DicomAttribute>
              <DicomAttribute tag="00081197" vr="US"><Value number="1">43264</Value></DicomAttribute></Item>
          </DicomAttribute>
          <DicomAttribute tag="00081199" vr="SQ"><Item number="1">
            <DicomAttribute tag="00081155" vr="UI"><Value number="1"> 1.1 </Value></DicomAttribute></Item>
          </DicomAttribute></NativeDicomModel>"""
        assert read_store_answer(body.encode(), SENT) == StoreOutcome(frozenset({ONE}), {TWO: 0x0111, THREE: 43264})
