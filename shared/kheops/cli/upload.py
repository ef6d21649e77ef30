"""Storing DICOM files (STOW-RS), several requests at once, and going on where an earlier run was interrupted."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kheops.cli.api import Api, Parameters
from kheops.cli.attributes import value_of
from kheops.cli.dicom_folder import DicomFile
from kheops.cli.failure import CommandError, ExitCode
from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head

__all__ = ["REASONS", "Uploaded", "upload"]

REASONS: Final[Mapping[int, str]] = {
    0x0106: "it contradicts what is known of its patient, study or series",
    0x0110: "the server could not process it",
    0x0111: "there is another object with its SOP Instance UID already, which stays as it is",
    0x0124: "you may not add to that series or study",
    0xA700: "the server had no room or no answer in time; upload it again",
    0xA900: "its header and its data name different SOP Classes",
    0xA901: "it is of another study",
    0xC000: "it is damaged, or contradicts itself",
}
"""Failure reasons in words; ``docs/dicomweb-conformance.md`` has their whole story."""

_BATCH_BYTES: Final = 8 * 1024 * 1024
_BATCH_FILES: Final = 100
_ATTEMPTS: Final = 4
_FIRST_WAIT_SECONDS: Final = 1.0
_CHUNK: Final = 256 * 1024
_DICOM: Final = "application/dicom"
_AGAIN: Final = 0xA700
_PROCESSING_FAILURE: Final = 0x0110
_STATUSES: Final = frozenset({202, 409})
"""Besides 200, those with a body that tells file by file (PS3.18 section 10.5.3)."""
_FAILED, _REASON, _REFERENCED, _SOP_INSTANCE = "00081198", "00081197", "00081199", "00081155"
_OTHER_FAILURES = "0008119A"


@dataclass(slots=True)
class Uploaded:
    """What an upload came to."""

    stored: int = 0
    """Files that are there now; those that were there with the same bytes among them."""
    there: int = 0
    """Files that were not sent, since the server has an object of their SOP Instance UID."""
    failed: dict[Path, str] = field(default_factory=dict)


def upload(
    api: Api,
    files: Sequence[DicomFile],
    *,
    album: str | None,
    parallel: int,
    send_all: bool,
    done: Callable[[int, int], None] = lambda _files, _size: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Uploaded:
    """Store files; sending a file that is there again is safe, and changes nothing.

    Parameters
    ----------
    api
        Where, and as whom.
    files
        What to store.
    album
        Into which album; into the caller's inbox by default.
    parallel
        How many requests run at once.
    send_all
        Whether files are sent, too, of which the server has an object with their SOP Instance UID.
    done
        Told how many files and bytes have been dealt with.
    sleep
        How to wait, in seconds.

    Raises
    ------
    CommandError
        If the server refuses the caller or the album, or is gone; what was stored until then stays.
    """
    result = Uploaded()
    source: Parameters = [("inbox", "true")] if album is None else [("album", album)]
    wanted = list(files) if send_all else _not_there(api, files, source, result, done)
    target: Parameters = [] if album is None else [("album", album)]
    sender = _Sender(api, target, sleep)
    with ThreadPoolExecutor(parallel, thread_name_prefix="upload") as threads:
        running = {threads.submit(sender.send, batch): batch for batch in _batches(wanted)}
        try:
            for each in as_completed(running):
                batch, failed = running.pop(each), each.result()
                result.failed.update(failed)
                result.stored += len(batch) - len(failed)
                done(len(batch), sum(file.size for file in batch))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            sender.stop()
            raise
    return result


class _Sender:
    """Sends batches."""

    def __init__(self, api: Api, target: Parameters, sleep: Callable[[float], None]) -> None:
        self._api = api
        self._target = target
        self._sleep = sleep
        self._stopped = False

    def stop(self) -> None:
        """Send nothing further, and break off what is being sent."""
        self._stopped = True

    def send(self, batch: Sequence[DicomFile]) -> dict[Path, str]:
        """Send a batch, what the server was too busy for again, and return what failed."""
        failed: dict[Path, str] = {}
        for attempt in range(1, _ATTEMPTS + 1):
            is_last = attempt == _ATTEMPTS
            try:
                reasons = self._send(batch)
            except CommandError as error:
                if error.code is not ExitCode.UNREACHABLE or is_last or self._stopped:
                    raise
                reasons = dict.fromkeys(batch, _AGAIN)
            except OSError as error:
                # One that vanished or cannot be read would take its whole batch along: each by itself, then.
                if len(batch) > 1:
                    return {path: why for file in batch for path, why in self.send([file]).items()}
                return {batch[0].path: error.strerror or "it cannot be read"}
            again = [file for file, reason in reasons.items() if reason == _AGAIN and not is_last]
            failed |= {file.path: _words(reason) for file, reason in reasons.items() if file not in again}
            if not again:
                break
            batch = again
            self._sleep(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1))  # noqa: S311 - a wait
        return failed

    def _send(self, batch: Sequence[DicomFile]) -> dict[DicomFile, int]:
        """Send a batch once and return why files failed."""
        boundary = new_boundary()
        headers = {"Content-Type": content_type(boundary, part_type=_DICOM), "Accept": "application/dicom+json"}
        with self._api.opened(
            "POST",
            "/studies",
            query=self._target,
            headers=headers,
            content=lambda: self._body(batch, boundary),
            accepted=_STATUSES,
        ) as response:
            return _reasons(response.read(), batch)

    def _body(self, batch: Iterable[DicomFile], boundary: bytes) -> Iterator[bytes]:
        for file in batch:
            with file.path.open("rb") as opened:
                yield part_head(boundary, part_type=_DICOM)
                while chunk := opened.read(_CHUNK):
                    if self._stopped:
                        raise CommandError("Broken off.", code=ExitCode.INTERRUPTED)
                    yield chunk
                yield PART_TAIL
        yield closing(boundary)


def _not_there(
    api: Api, files: Sequence[DicomFile], source: Parameters, result: Uploaded, done: Callable[[int, int], None]
) -> list[DicomFile]:
    """Return the files of which the server has no object in the place where they go."""
    there: dict[tuple[str, str], frozenset[str]] = {}
    wanted = []
    for file in files:
        key = (file.study, file.series)
        if key not in there:
            there[key] = _instances(api, *key, source)
        if file.instance in there[key]:
            result.there += 1
            done(1, file.size)
        else:
            wanted.append(file)
    return wanted


def _instances(api: Api, study: str, series: str, source: Parameters) -> frozenset[str]:
    path = f"/studies/{study}/series/{series}/instances"
    try:
        return frozenset(value_of(each, "00080018") for each in api.listed(path, source))
    except CommandError as error:
        # Who may only write sees nothing of what is there; sending it again is safe.
        if error.code is ExitCode.REFUSED:
            return frozenset()
        raise


def _batches(files: Iterable[DicomFile]) -> Iterator[list[DicomFile]]:
    batch: list[DicomFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == _BATCH_FILES or size + file.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def _reasons(body: bytes, batch: Sequence[DicomFile]) -> dict[DicomFile, int]:
    """Return why files failed, by a Store Instances Response (PS3.18 annex I.2): what is not named as stored did."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CommandError("The server answered something else than what was stored.", code=ExitCode.UNREACHABLE)
    stored = {value_of(item, _SOP_INSTANCE) for item in _items(document, _REFERENCED)}
    failed = {value_of(item, _SOP_INSTANCE): value_of(item, _REASON) for item in _items(document, _FAILED)}
    # Files that the server could not identify are counted, not named.
    others = {value_of(item, _REASON) for item in _items(document, _OTHER_FAILURES)}
    unnamed = others.pop() if len(others) == 1 else ""
    return {file: _number(failed.get(file.instance, unnamed)) for file in batch if file.instance not in stored}


def _number(reason: str) -> int:
    return int(reason) if reason.isascii() and reason.isdigit() else _PROCESSING_FAILURE


def _items(document: Mapping[str, object], tag: str) -> list[Mapping[str, object]]:
    element = document.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _words(reason: int) -> str:
    return REASONS.get(reason, f"the server's reason is 0x{reason:04X}")
