import asyncio
from collections.abc import AsyncGenerator

import pytest
from typing_extensions import override

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, NotAcceptableError
from kheops.services.joined_parts import join
from kheops.web.pixels import PixelResponse
from tests.service.read.client import Answer, request
from tests.unit.read.streams import DICOM, Script, ScriptedStream, multipart, streams

TYPE = f'multipart/related; type="{DICOM}"; boundary=inner'


def parts_of(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    reader = MultipartReader(boundary_of(content_type))
    parts: list[tuple[dict[str, str], bytes]] = []
    for event in reader.feed(body):
        if isinstance(event, PartBegin):
            parts.append((dict(event.headers), b""))
        elif isinstance(event, PartData):
            parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event.data))
    reader.close()
    return parts


async def whole(joined: ArchiveStream) -> bytes:
    return b"".join([chunk async for chunk in joined.chunks()])


def test_parts_of_several_answers_become_one_body_with_heads_of_ours() -> None:
    inner = "Content-Location: http://10.0.0.1/inner\r\nContent-ID: <1>\r\n"
    head = f"{inner}Content-Type: {DICOM}; transfer-syntax=1.2.840.10008.1.2.1; name=secret"
    bodies = multipart(b"one", b"two\r\n--inner?", head=head), multipart(b"three" * 30_000)

    async def main() -> tuple[bytes, str]:
        joined = await join(Script(*streams(*bodies)).answers(), media_type=DICOM)
        return await whole(joined), joined.content_type

    body, content_type = asyncio.run(main())
    assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
    syntax = {"content-type": f"{DICOM}; transfer-syntax=1.2.840.10008.1.2.1"}
    assert parts_of(body, content_type) == [
        (syntax, b"one"),
        (syntax, b"two\r\n--inner?"),
        ({"content-type": DICOM}, b"three" * 30_000),
    ]
    assert b"inner\r\n" not in body.replace(b"--inner?", b"")
    assert b"10.0.0.1" not in body


def test_any_split_of_the_store_s_bytes_gives_the_same_parts() -> None:
    body = multipart(b"a\r\n--inn" * 3, b"", b"\r\n")

    async def main(size: int) -> list[bytes]:
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        joined = await join(Script(ScriptedStream(*pieces, content_type=TYPE)).answers(), media_type=DICOM)
        return [data for _, data in parts_of(await whole(joined), joined.content_type)]

    for size in (1, 2, 7, 50):
        assert asyncio.run(main(size)) == [b"a\r\n--inn" * 3, b"", b"\r\n"]


def test_the_next_answer_is_opened_while_one_is_read_and_no_further() -> None:
    async def main() -> None:
        script = Script(*streams(multipart(b"1"), multipart(b"2"), multipart(b"3")))
        joined = await join(script.answers(), media_type=DICOM)
        await asyncio.sleep(0)
        assert script.opened == 2
        await whole(joined)
        assert script.opened == 3

    asyncio.run(main())


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (ArchiveUnavailableError(), ArchiveUnavailableError),
        (NotAcceptableError(["x"]), NotAcceptableError),
        (ScriptedStream(b"<html>", content_type="text/html"), ArchiveProtocolError),
        (ScriptedStream(multipart(), content_type=TYPE), ArchiveAbsentError),
        (ScriptedStream(multipart(b"x", head="Content-Type: text/html"), content_type=TYPE), ArchiveProtocolError),
        (ScriptedStream(multipart(b"x", head="Content-Length: 1"), content_type=TYPE), ArchiveProtocolError),
        (ScriptedStream(content_type=TYPE, fails=ArchiveUnavailableError()), ArchiveUnavailableError),
        (ScriptedStream(b"--inner\r\n", content_type=TYPE), ArchiveUnavailableError),
    ],
)
def test_what_is_wrong_from_the_start_is_an_error_and_not_a_body(
    first: ScriptedStream | Exception, error: type[Exception]
) -> None:
    with pytest.raises(error):
        asyncio.run(join(Script(first).answers(), media_type=DICOM))
    if isinstance(first, ScriptedStream):
        assert first.aborted or error is ArchiveAbsentError


def test_no_answers_at_all_is_absent() -> None:
    with pytest.raises(ArchiveAbsentError):
        asyncio.run(join(Script().answers(), media_type=DICOM))


def failing(*answers: ScriptedStream | Exception, leave_after: int | None = None) -> tuple[Answer, Script]:
    script = Script(*answers)

    async def main() -> Answer:
        joined = await join(script.answers(), media_type=DICOM)
        response = PixelResponse(joined, headers=[])
        try:
            return await request(response, "/", leave_after=leave_after, answer=seen)
        except BaseException as error:
            if type(error).__name__ != "CutError":
                raise
            return seen

    seen = Answer()
    return asyncio.run(main()), script


@pytest.mark.parametrize(
    "then",
    [
        ArchiveUnavailableError(),
        ScriptedStream(multipart(b"two", close=False), content_type=TYPE),
        ScriptedStream(multipart(b"two", close=False), content_type=TYPE, fails=ArchiveUnavailableError()),
        ScriptedStream(multipart(b"two", head="Content-Type: text/html"), content_type=TYPE),
        ScriptedStream(b"{}", content_type="application/json"),
        RuntimeError(),
    ],
)
def test_a_body_that_fails_after_its_first_byte_is_cut(then: ScriptedStream | Exception) -> None:
    first = ScriptedStream(multipart(b"one"), content_type=TYPE)
    answer, _ = failing(first, then)
    assert answer.status == 200
    assert b"one" in answer.body
    assert not answer.complete
    boundary = str(answer.header("content-type")).rpartition("=")[2]
    assert f"--{boundary}--".encode() not in answer.body
    if isinstance(then, ScriptedStream):
        assert then.aborted


def test_when_the_client_leaves_nothing_more_is_asked_for_and_all_is_closed() -> None:
    chunks = [multipart(b"x" * 1000, close=False), *[b"y" * 1000] * 100]
    first = ScriptedStream(*chunks, content_type=TYPE)
    second, third = streams(multipart(b"2"), multipart(b"3"))
    answer, script = failing(first, second, third, leave_after=3)
    assert not answer.complete
    assert first.given < 10
    assert first.aborted
    assert second.aborted
    assert script.opened == 2


def test_the_opening_that_nobody_waits_for_is_given_up() -> None:
    class Slow(Script):
        closed = False

        @override
        async def answers(self) -> AsyncGenerator[ScriptedStream, None]:
            yield streams(multipart(b"1"))[0]
            try:
                await asyncio.sleep(60)
            finally:
                self.closed = True

    async def main() -> bool:
        slow = Slow()
        joined = await join(slow.answers(), media_type=DICOM)
        await asyncio.sleep(0)
        joined.abort()
        joined.abort()
        await asyncio.sleep(0.01)
        return slow.closed

    assert asyncio.run(main())


def test_only_one_chunk_of_the_store_is_held() -> None:
    class Endless(ScriptedStream):
        largest = 0

        @override
        async def chunks(self) -> AsyncGenerator[bytes, None]:
            yield f"--inner\r\nContent-Type: {DICOM}\r\n\r\n".encode()
            for _ in range(50):
                self.given += 1
                yield b"z" * 65536
            yield b"\r\n--inner--"

    async def main() -> None:
        stream = Endless(content_type=TYPE)
        joined = await join(Script(stream).answers(), media_type=DICOM)
        size = given = 0
        async for chunk in joined.chunks():
            size += len(chunk)
            assert len(chunk) <= 65536 + 200
            assert stream.given - given <= 1
            given = stream.given
        assert size > 50 * 65536

    asyncio.run(main())
