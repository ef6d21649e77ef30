import io
import json

import httpx
import pytest
from pydicom.dataset import Dataset

from tests.contract.archive.objects import new_uid, pixel_data, stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post


def test_files_are_given_in_explicit_little_endian_unless_another_transfer_syntax_is_named(
    client: httpx.Client,
) -> None:
    item = stored_object("JPEG2000.dcm")
    post(client, item.body)
    path = instance_path(item)
    stored = item.dataset.file_meta.TransferSyntaxUID
    for accept, status in (
        ("application/dicom; transfer-syntax=*", 200),
        (f"application/dicom; transfer-syntax={stored}", 200),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', 200),
        ("multipart/related; type=application/dicom; transfer-syntax=*", 200),
        ("*/*", 200),
        ("application/dicom", 200),
        ('multipart/related; type="application/dicom"', 200),
        ('multipart/related; type="application/dicom; transfer-syntax=*"', 406),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.1", 200),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.2", 406),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80", 406),
        ("image/jpeg", 406),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code == status, accept
        if status == 200:
            assert (item.body in answer.content) is ("*" in accept or stored in accept), accept
        if status == 406:
            assert "transfer-syntax=*" in answer.json()[0]["error"]["message"]


def test_single_part_is_for_one_instance_only(client: httpx.Client) -> None:
    (series,) = study_of_series(2)
    post(client, *(item.body for item in series))
    path = instance_path(series[0]).rpartition("/instances/")[0]
    assert client.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"}).status_code == 406
    answer = client.get(path, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    assert answer.status_code == 200
    assert answer.content.count(b"DICM") == 2
    study = path.rpartition("/series/")[0]
    assert client.get(study).content.count(b"DICM") == 2


def test_absent_is_403_with_google_s_words_at_every_path(client: httpx.Client) -> None:
    absent = f"/studies/{new_uid()}/series/{new_uid()}/instances/{new_uid()}"
    paths = [absent, f"{absent}/metadata", f"{absent}/frames/1", f"{absent}/bulkdata/7FE00010"]
    paths += [absent.rpartition("/instances/")[0], absent.rpartition("/series/")[0]]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 403, path
        assert answer.json()[0]["error"]["status"] == "PERMISSION_DENIED"


def test_metadata_has_bulk_data_uris_at_the_store_and_little_else_inline(
    client: httpx.Client, running: RealStore
) -> None:
    item = stored_object("waveform_ecg.dcm")
    post(client, item.body)
    answer = client.get(f"{instance_path(item)}/metadata", headers={"Accept": "application/dicom+json"})
    (model,) = answer.json()
    uri = model["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    assert uri == f"{running.root}{instance_path(item)}/bulkdata/54000100/1/54001010"
    bulk = client.get(uri, headers={"Accept": "application/octet-stream"})
    assert bulk.content == item.dataset.WaveformSequence[1].WaveformData


def test_metadata_of_native_and_encapsulated_pixel_data_names_what_can_be_read(client: httpx.Client) -> None:
    for name in ("CT_small.dcm", "JPEG2000.dcm", "examples_ybr_color.dcm", "image_dfl.dcm"):
        item = stored_object(name)
        post(client, item.body)
        (model,) = client.get(f"{instance_path(item)}/metadata").json()
        assert "InlineBinary" not in json.dumps(model["7FE00010"])
        bulk = client.get(model["7FE00010"]["BulkDataURI"], headers={"Accept": "*/*"})
        assert bulk.status_code == 200
        if name in {"CT_small.dcm", "image_dfl.dcm"}:
            assert bulk.content == pixel_data(item)
        else:
            assert bulk.content == item.body[item.body.index(bulk.content) :][: len(bulk.content)]
            assert bulk.content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")


def test_bulk_data_that_is_not_there_is_403(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    post(client, item.body)
    for path in ("7FE00011", "00081140/0/00081150", "00081140/99/00081150", "zz", "00100020/0/00100020"):
        assert client.get(f"{instance_path(item)}/bulkdata/{path}").status_code in {403, 404}, path


@pytest.mark.parametrize("numbers", ["0", "16", "1,16"])
def test_frame_out_of_range_is_400(client: httpx.Client, numbers: str) -> None:
    item = stored_object("rtdose.dcm")
    post(client, item.body)
    assert client.get(f"{instance_path(item)}/frames/{numbers}").status_code == 400


def test_frames_come_in_the_stored_encoding_or_decoded(client: httpx.Client) -> None:
    item = stored_object("JPEG2000.dcm")
    post(client, item.body)
    path = f"{instance_path(item)}/frames/1"
    for accept, status, part in (
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', 200, "application/octet-stream"),
        ('multipart/related; type="image/jp2"', 200, "image/jp2"),
        ('multipart/related; type="image/jpeg"', 406, ""),
        (
            'multipart/related; type="application/octet-stream"',
            200,
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        ),
        ("application/octet-stream; transfer-syntax=*", 406, ""),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code == status, accept
        assert part.encode() in answer.content
    sr = stored_object("test-SR.dcm")
    post(client, sr.body)
    assert client.get(f"{instance_path(sr)}/frames/1").status_code == 406


def test_sequence_of_more_than_a_mebibyte_is_left_out_of_metadata(client: httpx.Client) -> None:
    item = stored_object("test-SR.dcm")
    dataset = item.dataset
    dataset.ReferencedStudySequence = [Dataset()]
    dataset.ReferencedStudySequence[0].RetrieveURI = "x" * 1000
    dataset.OtherPatientIDsSequence = [Dataset() for _ in range(1100)]
    for other in dataset.OtherPatientIDsSequence:
        other.TextValue = "x" * 1000
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert post(client, stream.getvalue()).status_code == 200
    (model,) = client.get(f"{instance_path(item)}/metadata").json()
    assert "00101002" not in model
    assert "00081110" in model
    file = client.get(instance_path(item), headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert file.content == stream.getvalue()
