"""Answers in the archive's manner."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response, StreamingResponse

from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head

__all__ = ["RefusedError", "as_json", "multipart", "text_error"]


class RefusedError(Exception):
    """The archive refuses a request."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def text_error(error: Exception, about: str) -> Response:
    """Return a refusal as JSON text, and any other error as a stack trace; both are text/plain."""
    if isinstance(error, RefusedError):
        return Response(f'{{"errorMessage":"{error.message}"}}', error.status, media_type="text/plain")
    trace = f"java.lang.IllegalStateException: {about}\n\tat org.dcm4chee.arc.wado.WadoRS.retrieve(WadoRS.java:640)\n"
    return Response(trace, HTTPStatus.INTERNAL_SERVER_ERROR, media_type="text/plain")


def as_json(data: Any, *, status: int = 200, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(json.dumps(data), status, media_type=media_type, headers=headers)


def multipart(parts: list[tuple[str, str, bytes]], *, status: int = 200, broken: bool = False) -> Response:
    """Return parts, each of a media type, a location and data; a broken answer ends in the first one."""
    boundary = new_boundary()
    return StreamingResponse(
        _pieces(boundary, parts, broken=broken),
        status,
        headers={"Content-Type": content_type(boundary, part_type=parts[0][0].partition(";")[0])},
    )


def _pieces(boundary: bytes, parts: list[tuple[str, str, bytes]], *, broken: bool) -> Iterator[bytes]:
    for media_type, location, data in parts:
        head = part_head(boundary, part_type=media_type)
        yield head[:-2] + f"Content-Location: {location}\r\n\r\n".encode()
        if broken:
            yield data[:200]
            raise RuntimeError("no presentation context")
        yield data
        yield PART_TAIL
    yield closing(boundary)
