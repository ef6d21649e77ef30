"""Answers of a store that a test wrote down: their bytes, how they fail, and whether they were closed."""

from collections.abc import AsyncGenerator, AsyncIterator

__all__ = ["Script", "ScriptedStream", "multipart", "streams"]

DICOM = "application/dicom"


class ScriptedStream:
    """An answer whose chunks are given, failing behind them where it is told to."""

    status = 200
    content_range = None
    content_length: int | None = None

    def __init__(self, *chunks: bytes, content_type: str, fails: Exception | None = None) -> None:
        self._chunks = chunks
        self._fails = fails
        self.content_type = content_type
        self.given = 0
        self.aborted = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.given += 1
            yield chunk
        if self._fails is not None:
            raise self._fails

    def abort(self) -> None:
        self.aborted = True


class Script:
    """Opens answers one by one and tells which were."""

    def __init__(self, *answers: ScriptedStream | Exception) -> None:
        self._answers = answers
        self.opened = 0

    async def answers(self) -> AsyncGenerator[ScriptedStream, None]:
        for answer in self._answers:
            self.opened += 1
            if isinstance(answer, Exception):
                raise answer
            yield answer


def multipart(
    *parts: bytes, boundary: str = "inner", head: str = f"Content-Type: {DICOM}", close: bool = True
) -> bytes:
    """Return a multipart body as a store sends it."""
    body = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + part + b"\r\n" for part in parts)
    return body + (f"--{boundary}--\r\n".encode() if close else b"")


def streams(*bodies: bytes) -> list[ScriptedStream]:
    """Return an answer of one chunk for each body."""
    return [ScriptedStream(body, content_type=f'multipart/related; type="{DICOM}"; boundary=inner') for body in bodies]
