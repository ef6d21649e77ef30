"""What a DICOMweb client sends: bodies for STOW-RS."""

import httpx

from tests.contract.archive.objects import Stored

__all__ = ["MULTIPART", "instance_path", "multipart", "post"]

MULTIPART = 'multipart/related; type="application/dicom"; boundary=frontier'


def multipart(*parts: bytes, closed: bool = True) -> bytes:
    body = b"".join(b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--frontier--\r\n" if closed else b"")


def post(
    client: httpx.Client, *parts: bytes, study: str = "", accept: str | None = "application/dicom+json"
) -> httpx.Response:
    headers = {"Content-Type": MULTIPART, "Accept": accept or "*/*"}
    return client.post(f"/studies{study and '/'}{study}", content=multipart(*parts), headers=headers)


def instance_path(item: Stored) -> str:
    ref = item.ref
    return f"/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}/instances/{ref.sop_instance_uid}"
