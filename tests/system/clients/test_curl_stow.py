"""STOW-RS by curl, in each spelling of its headers that clients are known to send.

Numbers are those of the rows of ``pains.md``, the list of what clients suffered from other servers.
"""

import json
from pathlib import Path

import pytest

from local.smoke.dicom_files import new_uid
from tests.dicom_files import a_file
from tests.system.clients.scene import Scene
from tests.system.clients.test_dcmtk import curl

BOUNDARY = "b0undary"
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
PLAIN = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
PLAIN_PART = "Content-Type: application/dicom"

CONTENT_TYPES = (
    PLAIN,
    f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
    f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"',
    f"multipart/related;type=application/dicom;boundary={BOUNDARY}",
    f"multipart/related; boundary={BOUNDARY}; type=application/dicom",
    f"multipart/related; boundary={BOUNDARY}",
    f'Multipart/Related; Type="Application/DICOM"; Boundary={BOUNDARY}',
    f'multipart/related; type="application/dicom"; start="<first>"; boundary={BOUNDARY};',
)
WITH_TRANSFER_SYNTAX = (
    f'multipart/related; type="application/dicom"; transfer-syntax={LITTLE_ENDIAN}; boundary={BOUNDARY}',
    f'multipart/related; type="application/dicom"; transfer-syntax="{LITTLE_ENDIAN}"; boundary={BOUNDARY}',
    f'multipart/related; type="application/dicom; transfer-syntax={LITTLE_ENDIAN}"; boundary={BOUNDARY}',
    f"multipart/related; type=application/dicom; transfer-syntax=*; boundary={BOUNDARY}",
)
PARTS = (
    PLAIN_PART,
    "content-type:application/dicom",
    "CONTENT-TYPE: Application/DICOM",
    f"{PLAIN_PART}\r\nContent-ID: <first>\r\nContent-Transfer-Encoding: binary\r\nMIME-Version: 1.0",
    f"Content-Location: http://example.org/1.dcm\r\n{PLAIN_PART}",
)
PARTS_WITH_TRANSFER_SYNTAX = (
    f"{PLAIN_PART}; transfer-syntax={LITTLE_ENDIAN}",
    f'{PLAIN_PART};transfer-syntax="{LITTLE_ENDIAN}"',
)


def body_of(*files: bytes, part: str = PLAIN_PART, preamble: str = "", padding: str = "", epilogue: str = "") -> bytes:
    delimiter = f"--{BOUNDARY}{padding}\r\n{part}\r\n\r\n".encode()
    end = f"--{BOUNDARY}--{padding}\r\n{epilogue}".encode()
    return preamble.encode() + b"".join(delimiter + file + b"\r\n" for file in files) + end


def is_stored(
    scene: Scene, folder: Path, body: bytes, content_type: str, *uids: str, options: tuple[str, ...] = ()
) -> bool:
    """Store as Erin by curl; return whether all was accepted and these instances are found."""
    sent = folder / "body"
    sent.write_bytes(body)
    given = ("-H", f"Content-Type: {content_type}", *options, "--data-binary", f"@{sent}")
    answer = json.loads(curl(scene, "writer", "/studies", *given))
    assert "00081199" in answer, answer
    confirmed = {row["00081155"]["Value"][0] for row in answer["00081199"]["Value"]}
    found = json.loads(curl(scene, "writer", f"/instances?SOPInstanceUID={','.join(uids)}"))
    return "00081198" not in answer and confirmed == set(uids) == {row["00080018"]["Value"][0] for row in found}


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_pain_35_the_type_may_be_quoted_or_not(scene: Scene, tmp_path: Path, content_type: str) -> None:
    uid = new_uid()
    file = a_file(study=new_uid(), series=new_uid(), instance=uid)
    assert is_stored(scene, tmp_path, body_of(file), content_type, uid)


@pytest.mark.parametrize("part", PARTS)
def test_pain_35_headers_of_parts_may_be_spelled_in_any_way(scene: Scene, tmp_path: Path, part: str) -> None:
    uid = new_uid()
    file = a_file(study=new_uid(), series=new_uid(), instance=uid)
    assert is_stored(scene, tmp_path, body_of(file, part=part), PLAIN, uid)


@pytest.mark.parametrize("content_type", WITH_TRANSFER_SYNTAX)
def test_pain_37_a_transfer_syntax_of_the_request_is_borne(scene: Scene, tmp_path: Path, content_type: str) -> None:
    uid = new_uid()
    file = a_file(study=new_uid(), series=new_uid(), instance=uid)
    assert is_stored(scene, tmp_path, body_of(file), content_type, uid)


@pytest.mark.parametrize("part", PARTS_WITH_TRANSFER_SYNTAX)
def test_pain_37_a_transfer_syntax_of_a_part_is_borne(scene: Scene, tmp_path: Path, part: str) -> None:
    uid = new_uid()
    file = a_file(study=new_uid(), series=new_uid(), instance=uid)
    assert is_stored(scene, tmp_path, body_of(file, part=part), PLAIN, uid)


@pytest.mark.parametrize(
    ("framing", "options"),
    [
        ("as it is", ()),
        ("chunked", ("-H", "Transfer-Encoding: chunked")),
        ("with Expect", ("-H", "Expect: 100-continue")),
        ("over HTTP/2", ("--http2-prior-knowledge",)),
    ],
)
def test_pain_38_what_looks_like_a_boundary_in_the_data_is_data(
    scene: Scene, tmp_path: Path, framing: str, options: tuple[str, ...]
) -> None:
    traps = (
        b"\r\n\r\n",
        b"\r\n--",
        b"\r\n--b0undar",
        b"--b0undary\r\n",
        b"\n--b0undary--\n",
        b"\r\n--other\r\n" + PLAIN_PART.encode() + b"\r\n\r\n",
    )
    pixels = b"".join(traps) * 400
    series, uids = new_uid(), [new_uid(), new_uid()]
    study = new_uid()
    files = [
        a_file(study=study, series=series, instance=uid, pixels=pixels + b"\0" * (len(pixels) % 2)) for uid in uids
    ]
    body = body_of(*files, preamble="This is a multipart message.\r\n", padding=" \t", epilogue="The end.")
    assert is_stored(scene, tmp_path, body, PLAIN, *uids, options=options)
    for uid, file in zip(uids, files, strict=True):
        back = tmp_path / "back.dcm"
        path = f"/studies/{study}/series/{series}/instances/{uid}"
        curl(scene, "writer", path, "-H", "Accept: application/dicom", "-o", str(back))
        assert back.read_bytes() == file


def test_a_single_file_is_stored_without_multipart(scene: Scene, tmp_path: Path) -> None:
    uid = new_uid()
    file = a_file(study=new_uid(), series=new_uid(), instance=uid)
    assert is_stored(scene, tmp_path, file, "application/dicom", uid)


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/mixed; boundary=b"]
)
def test_other_bodies_are_refused_by_their_type(scene: Scene, tmp_path: Path, content_type: str) -> None:
    sent = tmp_path / "body"
    sent.write_bytes(b"a=b")
    given = ("-H", f"Content-Type: {content_type}", "--data-binary", f"@{sent}", "-w", "\n%{http_code}")
    assert curl(scene, "writer", "/studies", *given).rpartition("\n")[2] == "415"
