"""Somebody who calls the API, and the multipart bodies that go to and fro."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from local.smoke.dicom_files import DicomFile

__all__ = [
    "ANY_SYNTAX",
    "DICOM_JSON",
    "Answer",
    "Caller",
    "StepError",
    "StowAnswer",
    "dicom_bodies",
    "expect",
    "multipart",
    "parts_of",
    "within_five_seconds",
]

DICOM_JSON: Final = "application/dicom+json"
ANY_SYNTAX: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_REVOCATION_SECONDS: Final = 5.0

Answer = httpx.Response


class StepError(Exception):
    """A step did not hold."""


def expect(holds: object, what: str) -> None:
    """Raise `StepError` saying ``what`` was expected unless it holds."""
    if not holds:
        raise StepError(what)


class Caller:
    """A person or program with a credential, or without one; a context manager that closes its connections."""

    def __init__(self, name: str, root: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.root = root
        self.http = httpx.Client(headers=dict(headers or {}), timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    @classmethod
    def with_bearer(cls, name: str, root: str, token: str) -> "Caller":
        """Return a caller with ``Authorization: Bearer``."""
        return cls(name, root, headers={"authorization": f"Bearer {token}"})

    def call(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        accept: str = "*/*",
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request below the root (or to a whole URL), and expect ``status`` where it is given."""
        headers = {"accept": accept}
        if content_type is not None:
            headers["content-type"] = content_type
        url = path if path.startswith("http") else f"{self.root}{path}"
        answer = self.http.request(method, url, headers=headers, data=form, content=content, params=query)
        if status is not None and answer.status_code != status:
            raise StepError(
                f"{self.name}: {method} {path} was answered {answer.status_code}, not {status}: {answer.text[:400]}"
            )
        return answer

    def search(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Search by QIDO-RS and return the objects; a search always answers 200 with an array."""
        answer = self.call("GET", path, status=200, accept=DICOM_JSON, query=query)
        expect(
            answer.headers["content-type"].startswith(DICOM_JSON),
            f"{self.name}: {path} answers {DICOM_JSON}, not {answer.headers['content-type']}",
        )
        found: list[dict[str, Any]] = answer.json()
        return found

    def retrieve(self, path: str, accept: str = ANY_SYNTAX) -> list[bytes]:
        """Retrieve by WADO-RS and return the bodies of the parts."""
        return [body for _, body in parts_of(self.call("GET", path, status=200, accept=accept))]

    def store(self, files: Iterable[DicomFile], path: str = "/studies") -> "StowAnswer":
        """Store by STOW-RS, whatever comes of it."""
        content_type, content = multipart(file.body for file in files)
        answer = self.call("POST", path, content=content, content_type=content_type, accept=DICOM_JSON)
        return StowAnswer.of(answer)

    def store_whole(self, files: Iterable[DicomFile], path: str = "/studies") -> None:
        """Store by STOW-RS and expect 200 with every instance listed and none failed."""
        files = list(files)
        answer = self.store(files, path)
        expect(
            answer.status == httpx.codes.OK and not answer.failed and not answer.others,
            f"{self.name}'s files are stored with 200; the answer was {answer}",
        )
        expect(
            answer.stored == {file.instance for file in files},
            f"{self.name}'s answer lists each stored instance; it was {answer}",
        )


@dataclass(frozen=True, slots=True)
class StowAnswer:
    """What a STOW-RS answer says (PS3.18 table 10.5.3-1)."""

    status: int
    stored: frozenset[str]
    failed: Mapping[str, int]
    """Failure reason by SOP Instance UID."""
    others: tuple[int, ...]
    """Failure reasons of parts that could not be told apart."""

    @classmethod
    def of(cls, answer: Answer) -> "StowAnswer":
        """Read the sequences of an answer."""
        if not answer.headers.get("content-type", "").startswith(DICOM_JSON):
            raise StepError(f"storing was answered {answer.status_code} without {DICOM_JSON}: {answer.text[:400]}")
        body = json.loads(answer.content)
        return cls(
            status=answer.status_code,
            stored=frozenset(_text(item, "00081155") for item in _items(body, "00081199")),
            failed={_text(item, "00081155"): _number(item, "00081197") for item in _items(body, "00081198")},
            others=tuple(_number(item, "00081197") for item in _items(body, "0008119A")),
        )


def _items(dataset: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = dataset.get(tag, {}).get("Value", [])
    return items


def _text(dataset: dict[str, Any], tag: str) -> str:
    return str(dataset[tag]["Value"][0])


def _number(dataset: dict[str, Any], tag: str) -> int:
    return int(dataset[tag]["Value"][0])


def multipart(bodies: Iterable[bytes]) -> tuple[str, bytes]:
    """Return content type and content of a STOW-RS request (RFC 2387)."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    content = b"".join(head + body + b"\r\n" for body in bodies) + f"--{boundary}--\r\n".encode()
    return f'multipart/related; type="application/dicom"; boundary={boundary}', content


def parts_of(answer: Answer) -> list[tuple[dict[str, str], bytes]]:
    """Return headers and body of each part of a multipart answer.

    It is a reader of its own, so that the one under test is not its own witness.
    """
    content_type = answer.headers.get("content-type", "")
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if not content_type.startswith("multipart/related") or match is None:
        raise StepError(f"the answer is multipart/related with a boundary, not {content_type!r}")
    delimiter = f"\r\n--{match[1]}".encode()
    pieces = (b"\r\n" + answer.content).split(delimiter)
    expect(len(pieces) >= 2 and pieces[-1].startswith(b"--"), "the multipart answer ends with its closing boundary")
    parts = []
    for piece in pieces[1:-1]:
        head, separator, body = piece.partition(b"\r\n\r\n")
        expect(separator, "each part has a head and a body")
        lines = (line.split(":", 1) for line in head.decode("latin-1").split("\r\n") if ":" in line)
        parts.append(({name.strip().lower(): value.strip() for name, value in lines}, body))
    return parts


def dicom_bodies(files: Iterable[DicomFile]) -> list[bytes]:
    """Return the bodies of files in an order that does not depend on the store's."""
    return sorted(file.body for file in files)


def within_five_seconds(holds: Callable[[], bool], what: str) -> float:
    """Return after how many seconds ``holds`` said yes, or raise `StepError` if it did not within 5 s."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > _REVOCATION_SECONDS:
            raise StepError(f"{what} within {_REVOCATION_SECONDS:g} s")
        time.sleep(0.1)
    return time.monotonic() - begun
