"""PyPI's dicomweb-client, all of its methods with the headers that it sends by itself."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.dataset import Dataset

from local.smoke.dicom_files import DicomFile, new_uid
from tests.dicom_files import a_file
from tests.system.clients.scene import Credential, Scene

WAYS_IN = ("bearer", "password", "link-bearer", "link-password", "link-address")


def client_for(credential: Credential) -> DICOMwebClient:
    """Return a client as its documentation makes one."""
    session = requests.Session()
    if credential.password is not None:
        session = create_session_from_user_pass("any", credential.password)
    session.trust_env = False
    headers = {} if credential.bearer is None else {"Authorization": f"Bearer {credential.bearer}"}
    return DICOMwebClient(credential.base, session=session, headers=headers)


@pytest.fixture(params=WAYS_IN)
def anyway(request: pytest.FixtureRequest, scene: Scene) -> DICOMwebClient:
    """Give a client for each way in."""
    return client_for(scene.credentials[request.param])


@pytest.fixture
def bob(scene: Scene) -> DICOMwebClient:
    return client_for(scene.credentials["bearer"])


@pytest.fixture
def erin(scene: Scene) -> DICOMwebClient:
    return client_for(scene.credentials["writer"])


def values(found: list[dict[str, dict[Any, Any]]], tag: str) -> set[object]:
    return {value for row in found for value in row[tag]["Value"]}


def bytes_of(dataset: Dataset) -> bytes:
    output = io.BytesIO()
    dataset.save_as(output, enforce_file_format=True)
    return output.getvalue()


def same(retrieved: list[Dataset] | Iterator[Dataset], files: tuple[DicomFile, ...]) -> bool:
    """Return whether these are the files, whole: data set, file meta information and transfer syntax."""
    stored = {file.instance: pydicom.dcmread(io.BytesIO(file.body)) for file in files}
    got = {str(dataset.SOPInstanceUID): dataset for dataset in retrieved}
    return got.keys() == stored.keys() and all(
        got[uid] == stored[uid] and got[uid].file_meta == stored[uid].file_meta for uid in stored
    )


def test_searches_find_what_bob_reads_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    study, series = scene.shared[0].study, scene.shared[0].series
    assert values(anyway.search_for_studies(), "0020000D") == scene.studies
    assert values(anyway.search_for_series(study), "0020000E") == {series}
    assert values(anyway.search_for_instances(study, series), "00080018") == {file.instance for file in scene.shared}
    assert values(anyway.search_for_instances(study), "00080018") == {file.instance for file in scene.shared}


def test_searches_without_a_study_are_relational(scene: Scene, bob: DICOMwebClient) -> None:
    assert scene.shared[0].series in values(bob.search_for_series(), "0020000E")
    found = values(bob.search_for_instances(), "00080018")
    assert {file.instance for file in scene.shared} <= found
    assert not {file.instance for file in scene.hidden} & found


@pytest.mark.parametrize("fuzzy", [None, True, False])
def test_search_parameters_of_the_client_are_understood(scene: Scene, bob: DICOMwebClient, fuzzy: bool | None) -> None:
    file = scene.shared[0]
    found = bob.search_for_studies(
        fuzzymatching=fuzzy,
        limit=10,
        offset=0,
        fields=["StudyDescription", "00080061", "PatientComments"],
        search_filters={"PatientName": f"{file.patient_name[:5]}*", "0020000D": file.study},
    )
    assert values(found, "0020000D") == {file.study}
    assert bob.search_for_studies(offset=len(scene.studies)) == []
    assert bob.search_for_studies(search_filters={"PatientName": "Nobody*"}) == []


def test_remaining_pages_are_fetched(scene: Scene, bob: DICOMwebClient) -> None:
    found = bob.search_for_studies(limit=2, get_remaining=True)
    assert len(found) == len(scene.studies)
    assert values(found, "0020000D") == scene.studies


def test_counts_are_those_of_the_visible_series(scene: Scene, bob: DICOMwebClient) -> None:
    (row,) = bob.search_for_studies(search_filters={"StudyInstanceUID": scene.shared[0].study})
    assert row["00201206"]["Value"] == [1]
    assert row["00201208"]["Value"] == [len(scene.shared)]


def test_files_come_whole_at_each_level_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    file = scene.shared[0]
    assert same(anyway.retrieve_study(file.study), scene.shared)
    assert same(anyway.retrieve_series(file.study, file.series), scene.shared)
    assert same([anyway.retrieve_instance(file.study, file.series, file.instance)], (file,))


def test_files_come_whole_when_iterated(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.shared[0]
    assert same(bob.iter_study(file.study), scene.shared)
    assert same(bob.iter_series(file.study, file.series), scene.shared)


def test_a_compressed_file_keeps_its_transfer_syntax_when_asked_for_any(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.jpeg_2000
    for media_types in (None, (("application/dicom", "*"),), (("application/dicom", "1.2.840.10008.1.2.4.91"),)):
        found = bob.retrieve_instance(file.study, file.series, file.instance, media_types=media_types)
        assert same([found], (file,)), media_types


def test_metadata_comes_at_each_level_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    file = scene.shared[0]
    instances = {each.instance for each in scene.shared}
    assert values(anyway.retrieve_study_metadata(file.study), "00080018") == instances
    assert values(anyway.retrieve_series_metadata(file.study, file.series), "00080018") == instances


def test_metadata_with_its_bulk_data_makes_the_whole_object(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.shared[0]
    metadata = bob.retrieve_instance_metadata(file.study, file.series, file.instance)
    found = Dataset.from_json(metadata, lambda _tag, _vr, uri: b"".join(bob.retrieve_bulkdata(uri)))
    stored = pydicom.dcmread(io.BytesIO(file.body))
    assert found.PatientName == stored.PatientName
    assert found.PixelData == stored.PixelData
    assert {element.tag for element in found} <= {element.tag for element in stored} | {0x00080005}


def test_frames_are_those_of_the_file_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    file = scene.multi_frame
    wanted = [file.frame(3), file.frame(1)]
    place = (file.study, file.series, file.instance)
    # The default is `multipart/related; type="*/*"`.
    assert [bytes(frame) for frame in anyway.retrieve_instance_frames(*place, [3, 1])] == wanted
    assert [bytes(frame) for frame in anyway.iter_instance_frames(*place, [3, 1])] == wanted
    octets = ("application/octet-stream",)
    assert [bytes(frame) for frame in anyway.retrieve_instance_frames(*place, [3, 1], media_types=octets)] == wanted


@pytest.mark.parametrize(
    "media_types",
    [
        (("image/jp2", "1.2.840.10008.1.2.4.91"),),
        (("image/jp2", "1.2.840.10008.1.2.4.90"), ("image/jp2", "1.2.840.10008.1.2.4.91")),
        ("application/octet-stream", ("image/jp2", "1.2.840.10008.1.2.4.91")),
    ],
)
def test_a_compressed_frame_comes_as_it_was_stored(
    scene: Scene, bob: DICOMwebClient, media_types: tuple[str | tuple[str, str], ...]
) -> None:
    file = scene.jpeg_2000
    (frame,) = bob.retrieve_instance_frames(file.study, file.series, file.instance, [1], media_types=media_types)
    stored = pydicom.dcmread(io.BytesIO(file.body))
    assert bytes(frame).rstrip(b"\0") == next(
        pydicom.encaps.generate_frames(stored.PixelData, number_of_frames=1)
    ).rstrip(b"\0")


def test_bulk_data_comes_from_the_links_in_metadata_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    file = scene.palette
    metadata = anyway.retrieve_instance_metadata(file.study, file.series, file.instance)
    links = {tag: element["BulkDataURI"] for tag, element in metadata.items() if "BulkDataURI" in element}
    stored = pydicom.dcmread(io.BytesIO(file.body))
    assert "00281201" in links, metadata.keys()
    wanted = stored.RedPaletteColorLookupTableData
    # The default is `multipart/related; type="*/*"` here too.
    assert [bytes(part) for part in anyway.retrieve_bulkdata(links["00281201"])] == [wanted]
    assert [bytes(part) for part in anyway.iter_bulkdata(links["00281201"])] == [wanted]
    octets = ("application/octet-stream",)
    assert [bytes(part) for part in anyway.retrieve_bulkdata(links["00281201"], media_types=octets)] == [wanted]


def test_a_range_of_bulk_data_is_borne(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.palette
    metadata = bob.retrieve_instance_metadata(file.study, file.series, file.instance)
    link = metadata["00281201"]["BulkDataURI"]
    wanted = pydicom.dcmread(io.BytesIO(file.body)).RedPaletteColorLookupTableData
    (part,) = bob.retrieve_bulkdata(link, media_types=("application/octet-stream",), byte_range=(0, 99))
    assert bytes(part) in {wanted, wanted[:100]}


def test_images_are_rendered(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.shared[0]
    place = (file.study, file.series, file.instance)
    assert bob.retrieve_instance_rendered(*place).startswith(b"\xff\xd8")
    assert bob.retrieve_instance_rendered(*place, media_types=("image/png",)).startswith(b"\x89PNG")
    assert bob.retrieve_instance_rendered(*place, media_types=("image/jpeg",), params={"quality": 50}).startswith(
        b"\xff\xd8"
    )
    assert bob.retrieve_series_rendered(file.study, file.series, media_types=("image/jpeg",)).startswith(b"\xff\xd8")
    assert bob.retrieve_instance_frames_rendered(*place, [1], media_types=("image/png",)).startswith(b"\x89PNG")


def test_what_is_hidden_is_not_found_by_every_way_in(scene: Scene, anyway: DICOMwebClient) -> None:
    file = scene.hidden[0]
    assert anyway.search_for_instances(file.study, file.series) == []
    for ask in (
        lambda: anyway.retrieve_series(file.study, file.series),
        lambda: anyway.retrieve_instance(file.study, file.series, file.instance),
        lambda: anyway.retrieve_series_metadata(file.study, file.series),
        lambda: anyway.retrieve_instance_frames(file.study, file.series, file.instance, [1]),
        lambda: anyway.retrieve_instance_rendered(file.study, file.series, file.instance),
    ):
        with pytest.raises(requests.HTTPError) as refused:
            ask()
        assert refused.value.response.status_code == 404


def test_what_is_hidden_cannot_be_deleted(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.hidden[0]
    attempts: list[tuple[Callable[[], object], int]] = [
        (lambda: bob.delete_study(file.study), 404),
        (lambda: bob.delete_series(file.study, file.series), 404),
        (lambda: bob.delete_instance(file.study, file.series, file.instance), 405),
    ]
    for ask, status in attempts:
        with pytest.raises(requests.HTTPError) as refused:
            ask()
        assert refused.value.response.status_code == status


def test_what_is_stored_is_found_retrieved_and_taken_out_again(scene: Scene, erin: DICOMwebClient) -> None:
    study, series = new_uid(), new_uid()
    data = [pydicom.dcmread(io.BytesIO(a_file(study=study, series=series, instance=new_uid()))) for _ in range(2)]
    answer = erin.store_instances(data)
    assert len(answer.ReferencedSOPSequence) == len(data)
    assert "FailedSOPSequence" not in answer
    assert answer.RetrieveURL.endswith(f"/studies/{study}")
    assert {found.SOPInstanceUID for found in erin.iter_series(study, series)} == {d.SOPInstanceUID for d in data}
    again = erin.store_instances(data[:1], study_instance_uid=study)
    assert again.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == data[0].SOPInstanceUID
    erin.delete_study(study)
    assert erin.search_for_series(study) == []
    with pytest.raises(requests.HTTPError) as gone:
        erin.retrieve_study_metadata(study)
    assert gone.value.response.status_code == 404


def test_a_refused_store_raises_with_its_reason(scene: Scene, bob: DICOMwebClient) -> None:
    file = scene.hidden[0]
    intruder = pydicom.dcmread(io.BytesIO(a_file(study=file.study, series=file.series, instance=new_uid())))
    with pytest.raises(requests.HTTPError) as refused:
        bob.store_instances([intruder])
    assert refused.value.response.status_code == 409
    assert refused.value.response.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0124]


def test_a_file_that_another_library_decodes_shows_the_picture_that_was_stored(
    scene: Scene, bob: DICOMwebClient
) -> None:
    file = scene.shared[0]
    found = bob.retrieve_instance(file.study, file.series, file.instance)
    stored = pydicom.dcmread(io.BytesIO(file.body))
    assert (found.pixel_array == stored.pixel_array).all()
