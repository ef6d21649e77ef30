"""Long-running operations: begun at once, looked at until they are done.

Deletions are kept on disk by `Shelf` and go on after a restart; the others end with the process.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["Operations", "Progress", "operation_body"]

_SERVICE: Final = "google.cloud.healthcare.v1"
_UNKNOWN: Final = 2
"""``google.rpc.Code``."""


@dataclass(slots=True)
class Progress:
    """How far an operation has come; the API counts units, which are instances."""

    method: str
    """``google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData`` and the like."""
    response: str
    """The type of the response of a good end."""
    success: int = 0
    failure: int = 0
    error: str | None = None
    """Why the whole of it failed."""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None


class Operations:
    """The operations of a dataset.

    Parameters
    ----------
    dataset
        ``projects/P/locations/L/datasets/D``.
    seconds
        How long each takes at least.
    """

    def __init__(self, dataset: str, *, seconds: float) -> None:
        self._dataset = dataset
        self._seconds = seconds
        self._known: dict[str, Progress] = {}
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, method: str, work: Callable[[Progress], Awaitable[None]]) -> dict[str, Any]:
        """Begin an operation, and return the answer that says so.

        Parameters
        ----------
        method
            The name of the method in the API's service, such as ``ImportDicomData``.
        work
            Does it, and counts in what it is given. `OSError` and `ValueError` end the operation with their words.
        """
        identifier = str(uuid.uuid4().int % 10**19)
        progress = Progress(f"{_SERVICE}.dicom.DicomService.{method}", f"{_SERVICE}.dicom.{method}Response")
        self._known[identifier] = progress

        async def run() -> None:
            await asyncio.sleep(self._seconds)
            try:
                await work(progress)
            except (OSError, ValueError) as error:
                progress.error = str(error)
            progress.ended = datetime.now(UTC)

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return operation_body(self._dataset, identifier, progress)

    def look(self, identifier: str) -> dict[str, Any] | None:
        """Return what is known of an operation; ``None`` if there is none."""
        progress = self._known.get(identifier)
        return None if progress is None else operation_body(self._dataset, identifier, progress)

    async def aclose(self) -> None:
        """Break off what is running."""
        for task in self._running:
            task.cancel()
        for task in tuple(self._running):
            with suppress(asyncio.CancelledError):
                await task


def operation_body(dataset: str, identifier: str, progress: Progress) -> dict[str, Any]:
    """Return the ``Operation`` of the API."""
    counter = {"success": progress.success, "failure": progress.failure}
    metadata: dict[str, Any] = {
        "@type": f"type.googleapis.com/{_SERVICE}.OperationMetadata",
        "apiMethodName": progress.method,
        "createTime": _time(progress.created),
        "counter": {name: str(count) for name, count in counter.items() if count},
    }
    operation: dict[str, Any] = {"name": f"{dataset}/operations/{identifier}", "metadata": metadata}
    if progress.ended is None:
        return operation
    metadata["endTime"] = _time(progress.ended)
    if progress.error is not None:
        return {**operation, "done": True, "error": {"code": _UNKNOWN, "message": progress.error}}
    return {**operation, "done": True, "response": {"@type": f"type.googleapis.com/{progress.response}"}}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
