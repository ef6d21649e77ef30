import asyncio

import pytest

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from kheops.services.single_object import pass_on
from tests.unit.read.streams import DICOM, ScriptedStream, multipart
from tests.unit.read.test_joined_parts import TYPE, parts_of

SYNTAX = "1.2.840.10008.1.2.4.90"


def read(stream: ScriptedStream, media_type: str = DICOM) -> tuple[ArchiveStream, bytes]:
    async def main() -> tuple[ArchiveStream, bytes]:
        passed = await pass_on(stream, media_type=media_type)
        return passed, b"".join([chunk async for chunk in passed.chunks()])

    return asyncio.run(main())


def in_pieces(body: bytes, size: int) -> ScriptedStream:
    return ScriptedStream(*(body[start : start + size] for start in range(0, len(body), size)), content_type=TYPE)


@pytest.mark.parametrize(
    "head",
    [
        f"Content-Type: {DICOM}",
        f"content-length: 5\r\nMIME-Version: 1.0\r\nContent-Type: {DICOM}; transfer-syntax={SYNTAX}",
    ],
)
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_a_harmless_answer_goes_on_untouched(head: str, before: bytes) -> None:
    body = before + multipart(b"bytes", head=head)
    stream = in_pieces(body, 300)
    stream.content_length = len(body)
    passed, sent = read(stream)
    assert sent == body
    assert passed.content_length == len(body)
    assert passed.content_type == 'multipart/related; type="application/dicom"; boundary=inner'


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (f"Content-Location: http://10.0.0.1/x\r\nContent-Type: {DICOM}", 1000),
        (f"Content-Type: {DICOM}; transfer-syntax={SYNTAX}; host=10.0.0.1", 1000),
        (f"Content-Type: {DICOM}", 9),
    ],
)
def test_a_head_that_may_not_be_seen_is_written_anew(head: str, size: int) -> None:
    passed, sent = read(in_pieces(multipart(b"bytes" * 100, head=head), size))
    ((headers, data),) = parts_of(sent, passed.content_type)
    assert data == b"bytes" * 100
    assert headers["content-type"] in {DICOM, f"{DICOM}; transfer-syntax={SYNTAX}"}
    assert b"10.0.0.1" not in sent
    assert passed.content_length is None


def test_frames_of_a_type_that_browsers_run_are_called_octets() -> None:
    passed, sent = read(in_pieces(multipart(b"<svg>", head="Content-Type: image/svg+xml"), 1000), "image/jpeg")
    ((headers, data),) = parts_of(sent, passed.content_type)
    assert (headers["content-type"], data) == ("application/octet-stream", b"<svg>")
    assert 'type="application/octet-stream"' in passed.content_type


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (ScriptedStream(b"<html>", content_type="text/html"), ArchiveProtocolError),
        (ScriptedStream(content_type=TYPE), ArchiveUnavailableError),
        (ScriptedStream(content_type=TYPE, fails=ArchiveUnavailableError()), ArchiveUnavailableError),
        (in_pieces(multipart(b"x", head="Content-Type: text/html"), 100), ArchiveProtocolError),
        (in_pieces(multipart(), 100), ArchiveAbsentError),
    ],
)
def test_what_is_wrong_from_the_start_is_an_error(stream: ScriptedStream, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(stream)
    assert stream.aborted


def test_what_breaks_behind_the_first_chunk_is_raised_to_be_cut() -> None:
    stream = ScriptedStream(multipart(b"x", close=False), content_type=TYPE, fails=ArchiveUnavailableError())
    with pytest.raises(ArchiveUnavailableError):
        read(stream)
