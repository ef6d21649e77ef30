"""DICOM files of any size, made as they are sent, and curl, which sends and takes them without holding them."""

import hashlib
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tests.dicom_files import a_file, new_uid

__all__ = ["Curl", "LargeFile", "peak_rss", "reset_peak", "retrieve", "store"]

_PIECE: Final = bytes(range(256)) * 1024
"""256 KiB that are not all alike."""
_PROTOCOLS: Final = {"http/1.1": "--http1.1", "h2c": "--http2-prior-knowledge"}


@dataclass(frozen=True)
class LargeFile:
    """A file of which only the head is held."""

    study: str
    series: str
    instance: str
    head: bytes
    pixels: int
    """Bytes of pixel data."""

    @classmethod
    def of(cls, pixels: int) -> "LargeFile":
        """Return a file with fresh UIDs and ``pixels`` bytes of pixel data, an even number."""
        study, series, instance = new_uid(), new_uid(), new_uid()
        small = a_file(study=study, series=series, instance=instance, pixels=b"\0\0")
        element = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OB", 0)
        head = small[: small.index(element)] + element + struct.pack("<L", pixels)
        return cls(study, series, instance, head, pixels)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.head) + self.pixels

    @property
    def path(self) -> str:
        """Path of the instance below ``/api``."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"

    def pieces(self) -> Iterator[bytes]:
        """Give the file."""
        yield self.head
        left = self.pixels
        while left:
            piece = _PIECE[: min(left, len(_PIECE))]
            yield piece
            left -= len(piece)

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


@dataclass(frozen=True)
class Curl:
    """What curl said."""

    exit_code: int
    status: int
    size: int
    digest: str
    fed: int
    """Bytes of the upload that curl took."""
    body: bytes
    """The first 64 KiB of the answer."""


def retrieve(url: str, token: str, *, protocol: str, accept: str = "application/dicom") -> Curl:
    """Retrieve a body without holding it."""
    return _curl(url, token, protocol, ["-H", f"Accept: {accept}"], None)


def store(url: str, token: str, file: LargeFile, *, protocol: str) -> Curl:
    """Store a file by STOW-RS, of unknown length to the server, without holding it."""

    def body() -> Iterator[bytes]:
        yield b"--large\r\nContent-Type: application/dicom\r\n\r\n"
        yield from file.pieces()
        yield b"\r\n--large--\r\n"

    content_type = 'multipart/related; type="application/dicom"; boundary=large'
    return _curl(url, token, protocol, ["-H", f"Content-Type: {content_type}", "-X", "POST", "-T", "-"], body())


def _curl(url: str, token: str, protocol: str, options: list[str], body: Iterator[bytes] | None) -> Curl:
    running = subprocess.Popen(
        [
            *("curl", "-q", "-s", "--noproxy", "*", _PROTOCOLS[protocol], "-H", "Expect:"),
            *("-H", f"Authorization: Bearer {token}", "-w", "%{stderr}%{http_code}", *options, url),
        ],
        stdin=subprocess.DEVNULL if body is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    feeding = None
    fed: list[int] = []
    if body is not None:
        assert running.stdin is not None
        feeding = threading.Thread(target=_feed, args=(running.stdin, body, fed), daemon=True)
        feeding.start()
    assert running.stdout is not None
    digest, size, first = hashlib.sha256(), 0, b""
    while piece := running.stdout.read(1024 * 1024):
        digest.update(piece)
        size += len(piece)
        first = (first + piece)[: 64 * 1024] if len(first) < 64 * 1024 else first
    running.stdout.close()
    assert running.stderr is not None
    status = int(running.stderr.read() or b"0")
    running.stderr.close()
    if feeding is not None:
        feeding.join(10)
    return Curl(running.wait(10), status, size, digest.hexdigest(), sum(fed), first)


def _feed(pipe: IO[bytes], body: Iterator[bytes], fed: list[int]) -> None:
    try:
        for piece in body:
            pipe.write(piece)
            fed.append(len(piece))
        pipe.close()
    except BrokenPipeError:
        # curl has had its answer already, or has lost the connection; the test looks at that.
        with suppress(BrokenPipeError):
            pipe.close()


def reset_peak(pids: list[int]) -> None:
    """Let the peak of these processes' resident memory start anew (proc(5), clear_refs)."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def peak_rss(pids: list[int]) -> int:
    """Return the most that any of these processes had resident, in MiB."""
    return max(int(_status(pid, "VmHWM")) for pid in pids) // 1024


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
