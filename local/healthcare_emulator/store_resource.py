"""The store itself as a resource: ``dicomStores.get`` and ``dicomStores.patch``, as far as notifications go.

Whom it is told to notify is kept and given back. Whom the emulator pushes to, and in which form, its command line
says.
"""

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from local.healthcare_emulator.calls import Call, allow
from local.healthcare_emulator.google_errors import GoogleError

__all__ = ["StoreResource"]

_JSON: Final = "application/json; charset=UTF-8"
_LARGEST_REQUEST: Final = 10 * 1000 * 1000
_FIELD: Final = "notificationConfigs"
_ACCEPTED: Final = (_FIELD, "notification_configs")


class _Config(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pubsub_topic: str


class _Wished(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    notification_configs: list[_Config] = []
    name: str = ""


class StoreResource:
    """Answers for it.

    Parameters
    ----------
    store
        ``projects/P/locations/L/datasets/D/dicomStores/S``.
    file
        Where what it was told is kept.
    """

    def __init__(self, store: str, file: Path) -> None:
        self._store = store
        self._file = file

    async def answer(self, call: Call) -> None:
        """Answer ``GET``, or ``PATCH`` with ``updateMask=notificationConfigs``.

        Raises
        ------
        GoogleError
            If the mask names anything else, or the body is not a store, or names what is no topic.
        """
        allow(call, "GET", "PATCH")
        if call.method == "PATCH":
            if call.query().get("updateMask") not in _ACCEPTED:
                raise GoogleError.bad_request("The emulator updates notificationConfigs only.")
            await asyncio.to_thread(self._keep, await _wished(call))
        content = {"name": self._store, **await asyncio.to_thread(self._kept)}
        await call.answer(HTTPStatus.OK, json.dumps(content).encode(), _JSON)

    def _keep(self, configs: list[_Config]) -> None:
        self._file.write_bytes(msgspec.json.encode({_FIELD: configs}))

    def _kept(self) -> dict[str, object]:
        if not self._file.exists():
            return {}
        kept: dict[str, object] = json.loads(self._file.read_bytes())
        return kept if kept[_FIELD] else {}


async def _wished(call: Call) -> list[_Config]:
    content = bytearray()
    async for chunk in call.body():
        content += chunk
        if len(content) > _LARGEST_REQUEST:
            raise GoogleError.bad_request("Request payload size exceeds the limit: 10000000 bytes.")
    try:
        wished = msgspec.json.decode(bytes(content), type=_Wished)
    except msgspec.DecodeError as error:
        raise GoogleError.bad_request(f"Invalid JSON payload received. {error}") from None
    for config in wished.notification_configs:
        parts = config.pubsub_topic.split("/")
        if len(parts) != len(("projects", "P", "topics", "T")) or parts[::2] != ["projects", "topics"]:
            raise GoogleError.bad_request("A topic must look like projects/P/topics/T.")
    return wished.notification_configs
