"""Other transfer syntaxes than the stored one: the same pixels, by pydicom's own decoders."""

import io

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.utils import pixel_array

from tests.contract.archive.objects import Stored, stored_object
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
RLE, JPEG, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"


def _stored(client: httpx.Client, name: str) -> Stored:
    item = stored_object(name)
    assert post(client, item.body).status_code == 200
    return item


def _file(client: httpx.Client, item: Stored, syntax: str) -> pydicom.Dataset:
    accept = f"application/dicom; transfer-syntax={syntax}"
    answer = client.get(instance_path(item), headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    dataset = pydicom.dcmread(io.BytesIO(answer.content))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert dataset.SOPInstanceUID == item.ref.sop_instance_uid
    return dataset


@pytest.mark.parametrize("target", [IMPLICIT, EXPLICIT, DEFLATED, RLE])
@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "SC_rgb_rle_2frame.dcm", "JPEG2000.dcm", "image_dfl.dcm"]
)
def test_pixels_are_the_same_in_another_syntax(client: httpx.Client, name: str, target: str) -> None:
    item = _stored(client, name)
    made = _file(client, item, target)
    expected = item.dataset
    assert np.array_equal(pixel_array(made), pixel_array(expected))
    assert made.PatientName == expected.PatientName
    assert made.get("NumberOfFrames") == expected.get("NumberOfFrames")


def test_lossless_jpeg_2000_keeps_each_pixel(client: httpx.Client) -> None:
    item = _stored(client, "SC_rgb_rle_2frame.dcm")
    assert np.array_equal(pixel_array(_file(client, item, JPEG_2000)), pixel_array(item.dataset))


def test_jpeg_keeps_the_picture_and_says_that_it_lost_something(client: httpx.Client) -> None:
    item = _stored(client, "SC_rgb_rle_2frame.dcm")
    made = _file(client, item, JPEG)
    assert made.LossyImageCompression == "01"
    difference = pixel_array(made).astype(int) - pixel_array(item.dataset).astype(int)
    assert 0 < np.abs(difference).mean() < 30


def test_object_without_pixels_changes_its_syntax_too(client: httpx.Client) -> None:
    item = _stored(client, "test-SR.dcm")
    assert _file(client, item, IMPLICIT).ContentSequence[0].ValueType == item.dataset.ContentSequence[0].ValueType


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("CT_small.dcm", JPEG),  # sixteen bits
        ("CT_small.dcm", JPEG_2000),  # signed, which no encoder here takes
        ("test-SR.dcm", RLE),
        ("MR_small_jpeg_ls_lossless.dcm", EXPLICIT),  # no decoder is installed
        ("rtdose.dcm", RLE),  # thirty-two bits
    ],
)
def test_what_cannot_be_transcoded_is_406(client: httpx.Client, name: str, target: str) -> None:
    item = _stored(client, name)
    accept = f"application/dicom; transfer-syntax={target}"
    assert client.get(instance_path(item), headers={"Accept": accept}).status_code == 406


def _frame(client: httpx.Client, item: Stored, number: int, accept: str) -> tuple[bytes, str]:
    """Return a frame, and the media type of its part."""
    answer = client.get(
        f"{instance_path(item)}/frames/{number}", headers={"Accept": f"multipart/related; type={accept}"}
    )
    assert answer.status_code == 200, answer.text
    head, _, rest = answer.content.partition(b"\r\n\r\n")
    boundary = head.partition(b"\r\n")[0]
    return rest.rpartition(b"\r\n" + boundary)[0], head.decode().rpartition("Content-Type: ")[2].partition("\r\n")[0]


@pytest.mark.parametrize(
    "accept", ['"application/octet-stream"', f'"application/octet-stream"; transfer-syntax={EXPLICIT}']
)
def test_encoded_frames_are_decoded_where_no_syntax_is_asked_for(client: httpx.Client, accept: str) -> None:
    item = _stored(client, "SC_rgb_rle_2frame.dcm")
    data, media_type = _frame(client, item, 2, accept)
    assert data == pixel_array(item.dataset)[1].tobytes()
    assert media_type == f"application/octet-stream; transfer-syntax={EXPLICIT}"


@pytest.mark.parametrize(
    ("accept", "syntax", "image_format"),
    [
        (f'"image/jpeg"; transfer-syntax={JPEG}', JPEG, "JPEG"),
        ('"image/jp2"', JPEG_2000, "JPEG2000"),
        ('"image/png"', EXPLICIT, "PNG"),
    ],
)
def test_frames_become_pictures(client: httpx.Client, accept: str, syntax: str, image_format: str) -> None:
    item = _stored(client, "SC_rgb_rle_2frame.dcm")
    data, media_type = _frame(client, item, 2, accept)
    picture = Image.open(io.BytesIO(data))
    assert picture.format == image_format
    assert media_type.endswith(f"; transfer-syntax={syntax}")
    difference = np.asarray(picture).astype(int) - pixel_array(item.dataset)[1].astype(int)
    assert np.abs(difference).mean() < (30 if image_format == "JPEG" else 1e-9)


def test_native_frame_becomes_run_lengths(client: httpx.Client) -> None:
    item = _stored(client, "CT_small.dcm")
    data, media_type = _frame(client, item, 1, '"image/dicom-rle"')
    assert media_type == f"image/dicom-rle; transfer-syntax={RLE}"
    made = _file(client, item, RLE)
    assert data in made.PixelData


def test_frame_out_of_range_is_400_however_it_is_made(client: httpx.Client) -> None:
    item = _stored(client, "SC_rgb_rle_2frame.dcm")
    for accept in ('"image/png"', '"application/octet-stream"'):
        path = f"{instance_path(item)}/frames/3"
        answer = client.get(path, headers={"Accept": f"multipart/related; type={accept}"})
        assert answer.status_code == 400


def test_series_is_transcoded_file_by_file(client: httpx.Client) -> None:
    first = _stored(client, "SC_rgb_rle_2frame.dcm")
    ref = first.ref
    second = stored_object("CT_small.dcm", study=ref.study_instance_uid, series=ref.series_instance_uid)
    post(client, second.body)
    series = instance_path(first).rpartition("/instances/")[0]
    answer = client.get(series, headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert answer.status_code == 200
    assert answer.content.count(f"transfer-syntax={EXPLICIT}".encode()) >= 2
    assert second.body in answer.content
    assert first.body not in answer.content
    assert pixel_array(first.dataset).tobytes() in answer.content
