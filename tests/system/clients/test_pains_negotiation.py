"""What clients suffered from other servers while they negotiated, over both stores.

Numbers are those of the rows of ``pains.md``; rows 35, 37 and 38 are with curl (``test_curl_stow.py``).
"""

import io

import httpx
import pydicom
import pytest

from local.smoke.dicom_files import DicomFile
from tests.system.clients.parts import parts_of
from tests.system.clients.scene import Scene

JSON = "application/dicom+json"
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def ask(scene: Scene, path: str, *accept: str) -> httpx.Response:
    """Ask as Bob with these Accept fields, or with none."""
    with scene.system.client("bob") as client:
        del client.headers["accept"]
        return client.get(path, headers=[("Accept", value) for value in accept])


def syntax_of(body: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True).file_meta.TransferSyntaxUID)


def test_pain_39_a_search_is_answered_in_the_type_that_it_has(scene: Scene) -> None:
    sent = "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*"
    for path in ("/studies", f"/studies/{scene.shared[0].study}/series", f"{scene.shared[0].path}/metadata"):
        answer = ask(scene, path, sent)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == JSON, path
        assert answer.json()


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        ((), 200, JSON),
        (("",), 200, JSON),
        (("*/*",), 200, JSON),
        (("application/*;q=0.5, text/html",), 200, JSON),
        (("application/json; q=1.0, application/dicom+json;q=0.1",), 200, "application/json"),
        (("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",), 406, None),
        (("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",), 200, JSON),
        (("application/dicom+json;;charset=utf-8 ; q=0.3",), 200, JSON),
        (("text/plain", "application/dicom+json"), 200, JSON),
        (("application/dicom+json;q=0, */*;q=0",), 406, None),
    ],
)
def test_pain_40_accept_is_read_in_full_by_searches(
    scene: Scene, accept: tuple[str, ...], status: int, content_type: str | None
) -> None:
    answer = ask(scene, "/studies?limit=1", *accept)
    assert answer.status_code == status
    if content_type is not None:
        assert answer.headers["content-type"].partition(";")[0] == content_type


@pytest.mark.parametrize(
    ("accept", "is_multipart"),
    [
        ((), True),
        (("*/*",), True),
        (("multipart/*",), True),
        (("multipart/related",), True),
        (("multipart/related; type=application/dicom",), True),
        (('multipart/related; type="application/dicom"; transfer-syntax=*',), True),
        (('multipart/related; type="application/dicom; transfer-syntax=*"',), True),
        (('multipart/related;q=0.2;type="application/dicom", application/dicom;q=0.9',), False),
    ],
)
def test_pain_40_accept_is_read_in_full_by_retrieval(
    scene: Scene, accept: tuple[str, ...], is_multipart: bool
) -> None:
    file = scene.shared[0]
    answer = ask(scene, file.path, *accept)
    assert answer.status_code == 200
    (body,) = [part.body for part in parts_of(answer)] if is_multipart else [answer.content]
    assert body == file.body


@pytest.mark.parametrize(
    "accept", [("*/*",), (), ("application/dicom",), ("multipart/related; type=application/dicom",)]
)
def test_pain_41_and_43_nothing_is_transcoded_that_nobody_asked_to_be(scene: Scene, accept: tuple[str, ...]) -> None:
    file = scene.jpeg_2000
    answer = ask(scene, file.path, *accept)
    is_multipart = answer.headers["content-type"].startswith("multipart/related")
    (body,) = [part.body for part in parts_of(answer)] if is_multipart else [answer.content]
    assert body == file.body


def test_pain_43_a_transfer_syntax_that_is_asked_for_is_given_or_not_acceptable(scene: Scene) -> None:
    file = scene.jpeg_2000
    asterisk = ask(scene, file.path, "application/dicom; transfer-syntax=*")
    assert asterisk.content == file.body
    own = ask(scene, file.path, f"application/dicom; transfer-syntax={syntax_of(file.body)}")
    assert syntax_of(own.content) == syntax_of(file.body)
    other = ask(scene, file.path, f"application/dicom; transfer-syntax={LITTLE_ENDIAN}")
    if other.status_code == 200:
        assert syntax_of(other.content) == LITTLE_ENDIAN
    else:
        assert other.status_code == 406


def test_pain_44_what_is_not_acceptable_is_answered_with_what_is(scene: Scene) -> None:
    file = scene.shared[0]
    for path, offered in (
        ("/studies", JSON),
        (f"{file.path}/metadata", JSON),
        (file.path, "application/dicom"),
        (file.series_path, "application/dicom"),
        (f"{file.path}/frames/1", "application/octet-stream"),
    ):
        answer = ask(scene, path, "text/html")
        assert answer.status_code == 406, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert offered in answer.text, path
    assert ask(scene, file.path, "application/dicom").status_code == 200


def test_pain_45_an_instance_comes_as_the_body_itself(scene: Scene) -> None:
    for file in (scene.shared[0], scene.multi_frame, scene.jpeg_2000, scene.slide[0]):
        answer = ask(scene, file.path, "application/dicom")
        assert answer.headers["content-type"].partition(";")[0] == "application/dicom"
        assert answer.content == file.body


@pytest.mark.parametrize("name", ["image/dicom-rle", "image/x-dicom-rle"])
def test_run_lengths_are_known_by_both_names_that_clients_have_for_them(scene: Scene, name: str) -> None:
    file = scene.run_length
    answer = ask(
        scene, f"{file.path}/frames/1", f'multipart/related; type="{name}"; transfer-syntax=1.2.840.10008.1.2.5'
    )
    assert answer.status_code == 200
    (part,) = parts_of(answer)
    assert part.body == frame_of(file)
    assert part.content_type.partition(";")[0] == "image/dicom-rle"


@pytest.mark.parametrize("name", ["image/jls", "image/x-jls"])
def test_jpeg_ls_is_known_by_both_names_that_clients_have_for_it(scene: Scene, name: str) -> None:
    file = scene.jpeg_ls
    answer = ask(
        scene, f"{file.path}/frames/1", f"multipart/related; type={name}; transfer-syntax=1.2.840.10008.1.2.4.80"
    )
    assert answer.status_code == 200
    assert [part.body.rstrip(b"\0") for part in parts_of(answer)] == [frame_of(file).rstrip(b"\0")]


def frame_of(file: DicomFile) -> bytes:
    pixels = pydicom.dcmread(io.BytesIO(file.body)).PixelData
    return next(pydicom.encaps.generate_frames(pixels, number_of_frames=1))
