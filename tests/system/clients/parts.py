"""Answers in several parts, read by the library that Python has for mail, which is not ours."""

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

import httpx

__all__ = ["Part", "parts_of"]


@dataclass(frozen=True)
class Part:
    """One part: its Content-Type and its bytes."""

    content_type: str
    body: bytes


def parts_of(answer: httpx.Response) -> list[Part]:
    """Split an answer; it must be ``multipart/related`` with a type and a closing boundary."""
    content_type = answer.headers["content-type"]
    head = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode(), headersonly=True)
    assert head.get_content_type() == "multipart/related", content_type
    assert head.get_param("type"), "PS3.18 wants the type of the parts named"
    boundary = head.get_boundary()
    assert boundary is not None
    # Bodies are binary, and the mail library would convert their line ends: it reads the heads alone.
    delimiter = b"\r\n--" + boundary.encode()
    first, *pieces = (b"\r\n" + answer.content).split(delimiter)
    *pieces, last = pieces
    assert first.strip() == b""
    assert last.startswith(b"--"), "the closing boundary is missing"
    parts = []
    for piece in pieces:
        header, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = BytesParser(policy=HTTP).parsebytes(header + b"\r\n\r\n", headersonly=True)
        parts.append(Part(str(fields["Content-Type"]), body))
    return parts
