"""What is made of answers of a DCM4CHEE that its stand-in never gives; each store here is a script."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from kheops.archive.dcm4chee import Dcm4chee
from kheops.archive.port import HeldInstance, StoreOutcome
from kheops.domain.policy import AdmittedInstance
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, KheopsError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.objects import in_pieces, new_uid, stored_object
from tests.contract.archive.real_stores import LIMITS
from tests.contract.archive.scripted_store import Request, answer, run_scripted

REF = InstanceRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"), SopInstanceUID("1.2.3.4"))
BELOW = "/studies/1.2/series/1.2.3/instances/1.2.3.4"
ITEM = stored_object("CT_small.dcm")
NOTHING = answer("204 No Content")


def found(*refs: InstanceRef) -> bytes:
    rows = [
        {
            "00080018": {"vr": "UI", "Value": [ref.sop_instance_uid]},
            "0020000D": {"vr": "UI", "Value": [ref.study_instance_uid]},
            "0020000E": {"vr": "UI", "Value": [ref.series_instance_uid]},
        }
        for ref in refs
    ]
    return answer("200 OK", json.dumps(rows).encode(), Content_Type="application/dicom+json")


def stow(*, stored: Sequence[str] = (), failed: Sequence[tuple[str, int]] = ()) -> bytes:
    body: dict[str, Any] = {}
    if stored:
        items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in stored]
        body["00081199"] = {"vr": "SQ", "Value": items}
    if failed:
        body["00081198"] = {
            "vr": "SQ",
            "Value": [
                {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [code]}}
                for uid, code in failed
            ],
        }
    return answer("200 OK", json.dumps(body).encode(), Content_Type="application/dicom+json")


def scripted(script: list[bytes | None], use: Any) -> tuple[Any, list[Request]]:
    async def main(origin: str, requests: list[Request]) -> tuple[Any, list[Request]]:
        store = Dcm4chee(f"{origin}/dcm4chee-arc/aets/DCM4CHEE/rs", limits=LIMITS)
        try:
            return await use(store), requests
        finally:
            await store.aclose()

    return run_scripted(script, main)


def test_instance_that_is_listed_as_stored_but_is_elsewhere_is_not_believed() -> None:
    uid = ITEM.ref.sop_instance_uid
    elsewhere = InstanceRef(ITEM.ref.study_instance_uid, SeriesInstanceUID(new_uid()), uid)

    async def use(store: Dcm4chee) -> list[StoreOutcome]:
        return [
            await store.store([ITEM.held]),
            await store.store_stream(ITEM.admitted, in_pieces(ITEM.body)),
            await store.store([ITEM.held]),
        ]

    script = [NOTHING, stow(stored=[uid]), found(elsewhere)] * 2 + [NOTHING, stow(stored=[uid]), found(ITEM.ref)]
    outcomes, requests = scripted(list(script), use)
    assert outcomes == [StoreOutcome(frozenset())] * 2 + [StoreOutcome(frozenset({uid}))]
    # Parameters of a store request are written over the data: it has none.
    assert {request.line for request in requests if request.line.startswith("POST")} == {
        "POST /dcm4chee-arc/aets/DCM4CHEE/rs/studies HTTP/1.1"
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(0xA77A, 0xA700), (0xA77B, 0x0111), (0xC499, 0xC000), (0xA778, 0x0110), (0xA700, 0xA700), (0x0124, 0x0124)],
)
def test_failure_reasons_of_the_archive_become_those_of_the_standard(theirs: int, ours: int) -> None:
    uid = ITEM.ref.sop_instance_uid

    async def use(store: Dcm4chee) -> StoreOutcome:
        return await store.store([ITEM.held])

    outcome, _ = scripted([NOTHING, stow(failed=[(uid, theirs)])], use)
    assert outcome == StoreOutcome(frozenset(), {uid: ours})


def test_pages_that_overlap_are_no_list() -> None:
    async def use(store: Dcm4chee) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await store.inspect_series(REF.series)

    scripted([found(REF), found(REF), NOTHING], use)


def test_search_that_is_not_there_is_not_taken_for_an_empty_archive() -> None:
    missing = answer("404 Not Found", b'{"errorMessage":"No such Application Entity"}', Content_Type="text/plain")

    async def use(store: Dcm4chee) -> bool:
        for asking in (store.inspect_series(REF.series), store.inspect_instance(REF)):
            with pytest.raises(ArchiveProtocolError):
                await asking
        return await store.ready()

    ready, _ = scripted([missing], use)
    assert ready is False


def test_archive_without_the_second_entity_is_not_ready() -> None:
    async def use(store: Dcm4chee) -> bool:
        return await store.ready()

    assert scripted([found(REF), NOTHING], use)[0] is True
    assert scripted([found(REF), answer("404 Not Found")], use)[0] is False


@pytest.mark.parametrize(
    ("status", "error"),
    [("403 Forbidden", ArchiveProtocolError), ("409 Conflict", ArchiveUnavailableError)],
)
def test_refused_rejection_is_no_success(status: str, error: type[KheopsError]) -> None:
    async def use(store: Dcm4chee) -> None:
        with pytest.raises(error):
            await store.delete_instance(REF)

    _, requests = scripted([found(REF), answer(status)], use)
    assert requests[-1].line == f"POST /dcm4chee-arc/aets/DCM4CHEE/rs{BELOW}/reject/113039%5EDCM HTTP/1.1"


def test_purge_is_for_one_reason_only_and_keeps_no_note() -> None:
    async def use(store: Dcm4chee) -> None:
        await store.delete_instance(REF)

    _, requests = scripted([found(REF), answer("200 OK"), answer("200 OK"), NOTHING], use)
    assert requests[2].line == "DELETE /dcm4chee-arc/reject/113039%5EDCM HTTP/1.1"


def test_searches_name_validated_uids_and_our_own_parameters_only() -> None:
    async def use(store: Dcm4chee) -> None:
        await store.inspect_instance(REF)
        await store.inspect_series(REF.series)

    _, requests = scripted([NOTHING], use)
    fields = "includedefaults=false&includefield=00080018,0020000D,0020000E"
    root = "/dcm4chee-arc/aets/DCM4CHEE/rs"
    assert [request.line.split()[1] for request in requests] == [
        f"{root}/instances?SOPInstanceUID=1.2.3.4&{fields}&limit=1000",
        f"{root}/studies/1.2/series/1.2.3/instances?{fields}&orderby=InstanceNumber&limit=1000&offset=0",
    ]


def test_many_instances_are_looked_up_in_several_searches() -> None:
    held = [HeldInstance(AdmittedInstance(_numbered(number)), b"x") for number in range(120)]

    async def use(store: Dcm4chee) -> StoreOutcome:
        return await store.store(held)

    outcome, requests = scripted([NOTHING, NOTHING, NOTHING, stow()], use)
    assert outcome == StoreOutcome(frozenset())
    searches = [request.line for request in requests if request.line.startswith("GET")]
    assert [line.count(",") - 2 for line in searches] == [49, 49, 19]


def _numbered(number: int) -> InstanceRef:
    return InstanceRef(REF.study_instance_uid, REF.series_instance_uid, SopInstanceUID(f"1.2.3.4.{number + 1}"))
