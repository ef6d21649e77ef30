"""What DCM4CHEE does its own way, evened out: over the stand-in, and over scripts of what that never does."""

import asyncio
import io
import json
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import pydicom
import pytest

from kheops.archive.dcm4chee import Dcm4chee
from kheops.archive.joined_metadata import JoinedMetadata
from kheops.archive.port import ArchiveAbsentError, ArchiveStream, HeldInstance, StoreOutcome
from kheops.dicomweb.rendering import RenderingParameters
from kheops.domain.policy import AdmittedInstance
from kheops.domain.resources import InstanceRef
from kheops.errors import (
    ArchiveProtocolError,
    ArchiveUnavailableError,
    ConfigurationError,
    KheopsError,
    NotAcceptableError,
)
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.objects import Stored, in_pieces, new_uid, read, read_parts, stored_object, study_of_series
from tests.contract.archive.real_stores import LIMITS, Adapter, RealStore, dcm4chee
from tests.contract.archive.scripted_store import Request, answer, run_scripted

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
REF = InstanceRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"), SopInstanceUID("1.2.3.4"))
ARCHIVE = "https://pacs.example/dcm4chee-arc"
ROOT = f"{ARCHIVE}/aets/DCM4CHEE/rs"
BELOW = "/studies/1.2/series/1.2.3/instances/1.2.3.4"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with dcm4chee(tmp_path_factory.mktemp("dcm4chee"), "--cap", "3") as running:
        yield running


def asked(store: RealStore, method: str, path: str) -> bytes:
    """Ask the archive itself, as somebody at its own pages would."""
    request = urllib.request.Request(store.root + path, method=method, headers={"Accept": DICOM})
    with urllib.request.urlopen(request, timeout=10) as response:
        body: bytes = response.read()
        return body


def address(ref: InstanceRef) -> str:
    return f"/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}/instances/{ref.sop_instance_uid}"


def of_patient(name: str, patient_id: str) -> Stored:
    item = stored_object("CT_small.dcm")
    dataset = item.dataset
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = name, patient_id, "HOSPITAL"
    stream = io.BytesIO()
    dataset.save_as(stream)
    return Stored(item.ref, stream.getvalue())


def test_patient_of_another_sender_is_not_shown(archive: RealStore) -> None:
    theirs, ours = of_patient("Hidden^Person", "P1"), of_patient("Own^Person", "P1")

    async def use(store: Adapter) -> list[bytes]:
        await store.store([theirs.held])
        await store.store([ours.held])
        series = await store.open_series(ours.readable_series, accept=DICOM)
        return [
            await read(await store.open_instance(ours.readable, accept=DICOM)),
            await read(series),
            await read(await store.open_instance_metadata(ours.readable)),
            await read(await store.open_series_metadata(ours.readable_series)),
        ]

    answers = archive.run(use)
    assert all(b"Own^Person" in each and b"Hidden" not in each for each in answers)
    # The archive itself has merged the two.
    assert b"Hidden^Person" in asked(archive, "GET", address(ours.ref))


def test_what_the_archive_rejects_is_absent(archive: RealStore) -> None:
    (series,) = study_of_series(3)
    gone = series[1]

    async def use(store: Adapter) -> list[str]:
        await store.store([item.held for item in series])
        asked(archive, "POST", f"{address(gone.ref)}/reject/113037%5EDCM")
        opened = [
            store.open_instance(gone.readable, accept=DICOM),
            store.open_instance_metadata(gone.readable),
            store.open_frames(gone.readable, [1], accept=OCTETS),
            store.open_bulkdata(gone.readable, "7FE00010", accept=OCTETS, byte_range=None),
            # Of a series with a rejected instance, each one is to be asked for alone.
            store.open_series(gone.readable_series, accept=DICOM),
        ]
        for opening in opened:
            with pytest.raises(ArchiveAbsentError):
                await opening
        assert await store.inspect_instance(gone.ref) is False
        kept = {item.ref.sop_instance_uid for item in series} - {gone.ref.sop_instance_uid}
        assert await store.inspect_series(gone.ref.series) == kept
        metadata = json.loads(await read(await store.open_series_metadata(gone.readable_series)))
        return [each["00080018"]["Value"][0] for each in metadata]

    assert sorted(archive.run(use)) == sorted(
        {item.ref.sop_instance_uid for item in series} - {gone.ref.sop_instance_uid}
    )


def test_series_whose_instances_are_all_rejected_has_no_metadata(archive: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(store: Adapter) -> None:
        await store.store([item.held])
        asked(archive, "POST", f"{address(item.ref)}/reject/113037%5EDCM")
        with pytest.raises(ArchiveAbsentError):
            await store.open_series_metadata(item.readable_series)

    archive.run(use)


def test_instance_that_the_archive_has_elsewhere_is_a_duplicate(archive: RealStore) -> None:
    theirs = stored_object("CT_small.dcm")
    uid = theirs.ref.sop_instance_uid
    ours = stored_object("MR_small.dcm", instance=uid)
    fresh = stored_object("MR_small.dcm")

    async def use(store: Adapter) -> list[object]:
        await store.store([theirs.held])
        return [
            await store.store([ours.held, fresh.held]),
            await store.store_stream(ours.admitted, in_pieces(ours.body)),
            await store.inspect_instance(ours.ref),
            await read(await store.inspect_bytes(theirs.ref)),
        ]

    outcome, streamed, found, kept = archive.run(use)
    assert outcome == StoreOutcome(frozenset({fresh.ref.sop_instance_uid}), {uid: 0x0111})
    assert streamed == StoreOutcome(frozenset(), {uid: 0x0111})
    assert (found, kept) == (False, theirs.body)


def test_rejected_instance_that_is_sent_again_is_not_taken_for_stored(archive: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(store: Adapter) -> StoreOutcome:
        await store.store([item.held])
        asked(archive, "POST", f"{address(item.ref)}/reject/113001%5EDCM")
        return await store.store([item.held])

    assert archive.run(use) == StoreOutcome(frozenset(), {item.ref.sop_instance_uid: 0x0111})


def test_transfer_syntax_is_given_if_it_is_the_stored_one_and_never_a_broken_body(archive: RealStore) -> None:
    jpeg2000 = stored_object("JPEG2000.dcm")
    stored = jpeg2000.dataset.file_meta.TransferSyntaxUID

    async def use(store: Adapter) -> list[tuple[str, bytes]]:
        await store.store([jpeg2000.held])
        accept = f"application/dicom; transfer-syntax={stored}"
        assert await read(await store.open_instance(jpeg2000.readable, accept=accept)) == jpeg2000.body
        for other in ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2"):
            accept = f'multipart/related; type="application/dicom"; transfer-syntax={other}'
            with pytest.raises(NotAcceptableError):
                await store.open_instance(jpeg2000.readable, accept=accept)
            with pytest.raises(ArchiveAbsentError):
                await store.open_series(jpeg2000.readable_series, accept=accept)
        accept = f'multipart/related; type="application/dicom"; transfer-syntax={stored}'
        return await read_parts(await store.open_instance(jpeg2000.readable, accept=accept))

    ((_, body),) = archive.run(use)
    assert body == jpeg2000.body


def test_pixel_data_stays_as_encoded(archive: RealStore) -> None:
    item = stored_object("JPEG2000.dcm")

    async def use(store: Adapter) -> list[bytes]:
        await store.store([item.held])
        accept = "application/octet-stream"
        return [
            await read(await store.open_bulkdata(item.readable, "7FE00010", accept=accept, byte_range=None)),
            await read(await store.open_frames(item.readable, [1], accept=accept)),
        ]

    bulk, frame = archive.run(use)
    assert bulk == frame
    assert frame in item.body


def test_deletion_says_so_where_the_archive_keeps_what_is_rejected_otherwise(archive: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(store: Adapter) -> None:
        await store.store([item.held])
        asked(archive, "POST", f"{address(item.ref)}/reject/113037%5EDCM")
        with pytest.raises(ArchiveProtocolError, match="rejected for another reason"):
            await store.delete_instance(item.ref)
        with pytest.raises(ArchiveProtocolError, match="rejected for another reason"):
            await store.delete_series(item.ref.series)

    archive.run(use)


def test_deleted_bytes_are_gone_from_every_entity(archive: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(store: Adapter) -> None:
        await store.store([item.held])
        await store.delete_series(item.ref.series)
        with pytest.raises(ArchiveAbsentError):
            await store.inspect_bytes(item.ref)

    archive.run(use)


def test_series_is_listed_to_its_end_beyond_the_cap_of_a_search(archive: RealStore) -> None:
    (series,) = study_of_series(8)

    async def use(store: Adapter) -> frozenset[SopInstanceUID]:
        await store.store([item.held for item in series])
        return await store.inspect_series(series[0].ref.series)

    assert archive.run(use) == {item.ref.sop_instance_uid for item in series}


def test_stack_trace_of_the_archive_goes_nowhere(
    archive: RealStore, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    item = of_patient("Secret^Name", "P2")
    dataset = item.dataset
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([b"no picture"])
    dataset["PixelData"].VR = "OB"
    stream = io.BytesIO()
    dataset.save_as(stream)
    broken = Stored(item.ref, stream.getvalue())

    async def use(store: Adapter) -> str:
        await store.store([broken.held])
        with pytest.raises(KheopsError) as caught:
            await store.open_frames(broken.readable, [1], accept='multipart/related; type="image/jls"')
        failed = str(caught.value)
        with pytest.raises(ArchiveProtocolError) as refused:
            await _rendered(store, broken)
        return failed + str(refused.value) + str(refused.value.detail)

    said = archive.run(use)
    written = capfd.readouterr()
    everything = said + written.out + written.err + caplog.text
    assert "Secret" not in everything
    assert "java" not in everything


async def _rendered(store: Adapter, item: Stored) -> ArchiveStream:
    return await store.open_rendered(item.readable, 1, media_type="image/jpeg", parameters=RenderingParameters())


# Addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://pacs.example/dicom-web",
        f"{ARCHIVE}/aets/AS_RECEIVED/rs",
        f"{ARCHIVE}/aets/DCM4CHEE/rs/studies",
        f"{ARCHIVE}/aets/DCM4CHEE/wado",
        f"{ARCHIVE}/aets/DCM%2F/rs",
        f"{ARCHIVE}/aets/DCM4CHEE/rs?x=1",
    ],
)
def test_url_that_names_no_entity_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="KHEOPS_STORE_URL"):
        Dcm4chee(url)


@pytest.mark.parametrize("aet", ["DCM4CHEE", "AS_RECEIVED"])
def test_bulk_data_of_either_entity_has_a_path_and_pixel_data_one_of_its_own(aet: str) -> None:
    root = f"{ARCHIVE}/aets/{aet}/rs"
    store = Dcm4chee(ROOT)
    assert store.public_bulkdata_path(REF, f"{root}{BELOW}") == "7FE00010"
    assert store.public_bulkdata_path(REF, f"{root}{BELOW}/bulkdata/00081140/1/00420011") == "00081140/1/00420011"


@pytest.mark.parametrize(
    "uri",
    [
        f"{ARCHIVE}/aets/IOCM_QUALITY/rs{BELOW}",
        f"https://evil.example/dcm4chee-arc/aets/DCM4CHEE/rs{BELOW}",
        f"{ROOT}{BELOW}5",
        f"{ROOT}{BELOW}/",
        f"{ROOT}{BELOW}?x=1",
        f"{ROOT}{BELOW}#x",
        f"{ROOT}{BELOW}/frames/1",
        f"{ROOT}{BELOW}/bulkdata/../../1.2.3.5/bulkdata/00420011",
        f"{ROOT}/studies/1.2/series/1.2.3",
        "",
    ],
)
def test_other_bulk_data_uri_is_dropped(uri: str) -> None:
    assert Dcm4chee(ROOT).public_bulkdata_path(REF, uri) is None


# Scripts -------------------------------------------------------------------------------------------------------------

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


# Joined metadata -----------------------------------------------------------------------------------------------------


class _Pieces:
    status, content_type, content_length, content_range = 200, "application/dicom+json", None, None

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.aborted = False

    async def chunks(self) -> Any:
        for piece in self._pieces:
            yield piece

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    "pieces",
    [(b'[{"a":[1]}]',), (b" ", b"\n[", b'{"a"', b":[1]", b"}", b"]", b" \r\n"), (b'[{"a":[1]} ] ',)],
)
def test_joined_metadata_is_one_array_however_it_arrives(pieces: tuple[bytes, ...]) -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        return _Pieces(*pieces)

    joined = JoinedMetadata([_numbered(1), _numbered(2)], open_one)
    assert json.loads(asyncio.run(read(joined))) == [{"a": [1]}, {"a": [1]}]


@pytest.mark.parametrize("pieces", [(b'{"a":1}',), (b'[{"a":1}',), (b"",)])
def test_joined_metadata_takes_nothing_but_arrays(pieces: tuple[bytes, ...]) -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        return _Pieces(*pieces)

    with pytest.raises(ArchiveProtocolError):
        asyncio.run(read(JoinedMetadata([_numbered(1)], open_one)))


def test_joined_metadata_is_cut_where_an_instance_has_gone() -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        raise ArchiveAbsentError

    with pytest.raises(ArchiveUnavailableError):
        asyncio.run(read(JoinedMetadata([_numbered(1)], open_one)))


def test_aborted_joined_metadata_asks_for_nothing_further() -> None:
    opened: list[_Pieces] = []

    async def open_one(_: InstanceRef) -> ArchiveStream:
        opened.append(_Pieces(b'[{"a":1},', b'{"b":2}]'))
        return opened[-1]

    async def use() -> None:
        joined = JoinedMetadata([_numbered(1), _numbered(2)], open_one)
        async for chunk in joined.chunks():
            if b"a" in chunk:
                joined.abort()

    with pytest.raises(ArchiveUnavailableError):
        asyncio.run(use())
    assert [each.aborted for each in opened] == [True]
