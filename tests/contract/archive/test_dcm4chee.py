"""What DCM4CHEE does its own way, evened out: over the stand-in, and over scripts of what that never does."""

import io
import json
import urllib.request
from collections.abc import Iterator

import pydicom
import pytest

from kheops.archive.dcm4chee import Dcm4chee
from kheops.archive.port import ArchiveAbsentError, ArchiveStream, StoreOutcome
from kheops.dicomweb.rendering import RenderingParameters
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import (
    ArchiveProtocolError,
    ConfigurationError,
    KheopsError,
    NotAcceptableError,
)
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.objects import Stored, in_pieces, read, read_parts, stored_object, study_of_series
from tests.contract.archive.real_stores import Adapter, RealStore, dcm4chee

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


def test_every_series_of_the_archive_is_listed_beyond_the_cap_of_a_search(archive: RealStore) -> None:
    studies = [study_of_series(1, 1) for _ in range(5)]

    async def use(store: Adapter) -> set[SeriesRef]:
        for series in studies:
            await store.store([item.held for each in series for item in each])
        return {ref async for ref in store.list_series()}

    assert {series[0].ref.series for study in studies for series in study} <= archive.run(use)
