"""Retrieving objects into a folder (WADO-RS), each checked to its last byte, going on where an earlier run ended."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from kheops.cli.answers import no_answer
from kheops.cli.api import Api, Parameters
from kheops.cli.attributes import value_of
from kheops.cli.failure import CommandError, ExitCode
from kheops.dicomweb.part10 import Part10Scanner, UnreadableDicomError
from kheops.errors import InvalidIdentifierError
from kheops.ids import series_instance_uid, sop_instance_uid, study_instance_uid

__all__ = ["SUMS", "Downloaded", "Wanted", "download", "objects_of"]

SUMS: Final = "SHA256SUMS"
"""The file that names every object with its SHA-256, as ``sha256sum --check`` takes it."""

_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to retrieve."""

    study: str
    series: str
    instance: str

    @property
    def path(self) -> Path:
        """Where it lies in the folder."""
        return Path(self.study, self.series, f"{self.instance}.dcm")


@dataclass(slots=True)
class Downloaded:
    """What a download came to."""

    retrieved: int = 0
    there: int = 0
    """Objects that an earlier run retrieved; their files were compared with their SHA-256."""
    failed: dict[Path, str] = field(default_factory=dict)


def objects_of(api: Api, *, study: str | None, series: str | None, source: Parameters) -> Iterator[Wanted]:
    """Give the objects of a series, of a study, or of everything in an album or the inbox.

    Parameters
    ----------
    api
        Where, and as whom.
    study, series
        Which; a series goes with its study only.
    source
        The album or the inbox, as parameters of a search; none means wherever the caller sees them.

    Raises
    ------
    CommandError
        If the server refuses, or names an object by what is no UID: it becomes part of a path.
    """
    studies = [study] if study else [value_of(each, "0020000D") for each in api.listed("/studies", source)]
    for one in studies:
        _checked(one, one, one)
        path = f"/studies/{one}/series"
        all_series = [series] if series else [value_of(each, "0020000E") for each in api.listed(path, source)]
        for each_series in all_series:
            _checked(one, each_series, each_series)
            for each in api.listed(f"{path}/{each_series}/instances", source):
                yield _checked(one, each_series, value_of(each, "00080018"))


def download(
    api: Api,
    objects: Sequence[Wanted],
    folder: Path,
    *,
    parallel: int,
    done: Callable[[int, int], None] = lambda _files, _size: None,
) -> Downloaded:
    """Retrieve objects into ``folder``, as ``study/series/instance.dcm``.

    A file appears under its name when it is whole and is the object that was asked for.

    Parameters
    ----------
    api
        Where, and as whom.
    objects
        Which.
    folder
        Where to; it is made.
    parallel
        How many requests run at once.
    done
        Told how many objects and bytes have been dealt with.

    Raises
    ------
    CommandError
        If the folder cannot be written, the server does not take the caller any longer, or is gone.
    """
    result = Downloaded()
    try:
        sums = _Sums(folder)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{folder} cannot be written: {error}.", code=ExitCode.WRONG_USE) from None
    receiver = _Receiver(api, folder, sums)
    with contextlib.closing(sums), ThreadPoolExecutor(parallel, thread_name_prefix="download") as threads:
        running = {threads.submit(receiver.receive, each): each for each in objects}
        try:
            for each in as_completed(running):
                wanted, (size, is_new, why) = running.pop(each), each.result()
                if why is not None:
                    result.failed[wanted.path] = why
                elif is_new:
                    result.retrieved += 1
                else:
                    result.there += 1
                done(1, size)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            receiver.stop()
            raise
    return result


class _Sums:
    """The file of SHA-256s. Lines that another program wrote are kept and, where they are malformed, not believed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._alone = threading.Lock()
        self._known: dict[str, str] = {}
        path = folder / SUMS
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                digest, mark, name = line.partition("  ")
                if mark:
                    self._known[name] = digest
        self._file = path.open("a", encoding="utf-8")

    def get(self, path: Path) -> str | None:
        return self._known.get(path.as_posix())

    def add(self, path: Path, digest: str) -> None:
        with self._alone:
            self._file.write(f"{digest}  {path.as_posix()}\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Receiver:
    """Retrieves objects."""

    def __init__(self, api: Api, folder: Path, sums: _Sums) -> None:
        self._api = api
        self._folder = folder
        self._sums = sums
        self._stopped = False

    def stop(self) -> None:
        """Break off what is being retrieved."""
        self._stopped = True

    def receive(self, wanted: Wanted) -> tuple[int, bool, str | None]:
        """Return the size of an object, whether it was retrieved now, and why it failed if it did."""
        file = self._folder / wanted.path
        try:
            digest = self._sums.get(wanted.path)
            if digest is not None and file.is_file() and _digest(file) == digest:
                return file.stat().st_size, False, None
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            try:
                size, digest = self._retrieve(wanted, part)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
            self._sums.add(wanted.path, digest)
        except CommandError as error:
            # One object can be gone or be refused; a server that does not answer would fail on all of them.
            if error.code in {ExitCode.REFUSED, ExitCode.NOT_DONE}:
                return 0, True, error.message
            raise
        except OSError as error:
            return 0, True, error.strerror or "it cannot be written"
        return size, True, None

    def _retrieve(self, wanted: Wanted, part: Path) -> tuple[int, str]:
        path = f"/studies/{wanted.study}/series/{wanted.series}/instances/{wanted.instance}"
        scanner, digest, size = Part10Scanner(), hashlib.sha256(), 0
        try:
            with (
                self._api.opened("GET", path, headers={"Accept": "application/dicom"}) as response,
                part.open("wb") as file,
            ):
                for chunk in response.iter_bytes(_CHUNK):
                    if self._stopped:
                        raise CommandError("Broken off.", code=ExitCode.INTERRUPTED)
                    scanner.feed(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
            scanner.close()
            head = scanner.identity()
        except httpx.HTTPError as error:
            raise no_answer(self._api.server, error) from None
        except UnreadableDicomError as error:
            raise CommandError(f"what came is damaged: {error.detail}") from None
        if (head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid) != (
            wanted.study,
            wanted.series,
            wanted.instance,
        ):
            raise CommandError("what came is another object")
        return size, digest.hexdigest()


def _checked(study: str, series: str, instance: str) -> Wanted:
    try:
        return Wanted(study_instance_uid(study), series_instance_uid(series), sop_instance_uid(instance))
    except InvalidIdentifierError:
        raise CommandError("The server named an object by what is no UID; nothing was retrieved.") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
