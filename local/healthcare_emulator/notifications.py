"""Notifications as Pub/Sub pushes them: one for each instance, at least once, in no promised order.

``configs`` is the form of the store's ``notificationConfigs``, with attributes, for whatever is done;
``legacy`` that of ``notificationConfig``, the resource name alone, for what is stored and, if so set, imported.
"""

import asyncio
import base64
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from local.healthcare_emulator.storage_classes import STANDARD

__all__ = ["Action", "Form", "Instance", "Notifications", "message_of"]

Form = Literal["configs", "legacy"]
Action = Literal["StoreInstances", "DeleteInstances", "ImportDicomData", "SetBlobSettings"]

_TRIES: Final = 20
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 10.0
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Instance:
    """What a notification is about."""

    study: str
    series: str
    instance: str
    modality: str = ""
    storage_class: str = STANDARD
    previous_storage_class: str | None = None
    """What it was before it was changed."""


def message_of(
    store: str, action: Action, subject: Instance, *, form: Form, imports: bool = False
) -> dict[str, Any] | None:
    """Return the ``PubsubMessage``, or ``None`` where the form tells nothing of such an action.

    Parameters
    ----------
    store
        ``projects/P/locations/L/datasets/D/dicomStores/S``.
    action, subject
        What was done to which instance.
    form
        Which of the two forms.
    imports
        Whether the older form tells of imports (``sendForBulkImport``); the other always does.
    """
    told = {"StoreInstances", "ImportDicomData"} if imports else {"StoreInstances"}
    if form == "legacy" and action not in told:
        return None
    name = f"{store}/dicomWeb/studies/{subject.study}/series/{subject.series}/instances/{subject.instance}"
    now = datetime.now(UTC)
    message: dict[str, Any] = {
        "data": base64.b64encode(name.encode()).decode(),
        "messageId": str(random.getrandbits(53)),
        "publishTime": now.isoformat().replace("+00:00", "Z"),
    }
    if form == "configs":
        message["attributes"] = {
            "action": action,
            "lastUpdatedTime": format_datetime(now, usegmt=True),
            "storeName": store,
            "studyInstanceUID": subject.study,
            "seriesInstanceUID": subject.series,
            "sopInstanceUID": subject.instance,
            "versionId": str(time.time_ns()),
            "modality": subject.modality,
            "storageClass": subject.storage_class,
        }
        if subject.previous_storage_class is not None:
            message["attributes"]["previousStorageClass"] = subject.previous_storage_class
    return message


class Notifications:
    """Pushes messages until each was taken, and gives one up after twenty tries.

    Parameters
    ----------
    store
        ``projects/P/locations/L/datasets/D/dicomStores/S``.
    url
        Where to push; ``None`` for nowhere.
    form
        Which of the two forms.
    imports
        Whether the older form tells of imports.
    token_file
        A file with the bearer token of a push, read anew for each; ``None`` for none.
    """

    def __init__(
        self,
        store: str,
        *,
        url: str | None,
        form: Form = "configs",
        imports: bool = False,
        token_file: Path | None = None,
    ) -> None:
        self._store = store
        self._url = url
        self._form: Form = form
        self._imports = imports
        self._token_file = token_file
        self._pushes: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._client: httpx.AsyncClient | None = None

    def publish(self, action: Action, subjects: Iterable[Instance]) -> None:
        """Begin to push a message for each instance."""
        if self._url is None:
            return
        for subject in subjects:
            message = message_of(self._store, action, subject, form=self._form, imports=self._imports)
            if message is not None:
                task = asyncio.create_task(self._push(self._url, message))
                self._pushes.add(task)
                task.add_done_callback(self._pushes.discard)

    async def aclose(self) -> None:
        """End, with whatever was not taken yet."""
        for task in self._pushes:
            task.cancel()
        await asyncio.gather(*self._pushes, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _push(self, url: str, message: dict[str, Any]) -> None:
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, timeout=10)
        body = {"message": message, "subscription": f"{self._store.split('/dicomStores/')[0]}/subscriptions/store"}
        wait = _FIRST_WAIT
        for _ in range(_TRIES):
            async with self._free:
                with suppress(httpx.HTTPError):
                    answer = await self._client.post(url, json=body, headers=self._headers())
                    if answer.is_success:
                        return
            await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        return {"Authorization": f"Bearer {self._token_file.read_text('utf-8').strip()}"}
