"""The methods of the API that are written with a colon: storage metrics and classes, import and export."""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from local.healthcare_emulator.buckets import Buckets
from local.healthcare_emulator.calls import Call, allow
from local.healthcare_emulator.dicom_file import Identity, UnreadableFileError
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.notifications import Action
from local.healthcare_emulator.operations import Operations, Progress
from local.healthcare_emulator.shelf import BeingDeletedError, ConflictingInstanceError, Row, Shelf
from local.healthcare_emulator.storage_classes import CLASSES, class_of, class_since, set_class

__all__ = ["CustomMethods", "Tell"]

Wish = TypeVar("Wish")
Tell = Callable[[Action, Row, str | None], None]
"""Told what was done to which instance, and in which storage class that was before, if it was changed."""

_JSON: Final = "application/json; charset=UTF-8"
_LARGEST_REQUEST: Final = 10 * 1000 * 1000
"""Bytes of a request that stores nothing by itself."""


class _GcsSource(msgspec.Struct, forbid_unknown_fields=True):
    uri: str


class _GcsDestination(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    uri_prefix: str
    mime_type: str = "application/dicom"


class _Filter(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    resource_paths_gcs_uri: str


class _BlobSettings(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    blob_storage_class: str = "STANDARD"


class _Import(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    gcs_source: _GcsSource
    blob_storage_settings: _BlobSettings | None = None


class _Export(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    gcs_destination: _GcsDestination
    filter_config: _Filter | None = None


class _SetBlobSettings(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    blob_storage_settings: _BlobSettings
    filter_config: _Filter | None = None


class CustomMethods:
    """Answers them.

    Parameters
    ----------
    store
        ``projects/P/locations/L/datasets/D/dicomStores/S``.
    shelf
        What is stored.
    operations
        Where long ones run.
    buckets
        Where import and export find their objects.
    tell
        Tells of what was done to instances.
    """

    def __init__(
        self,
        store: str,
        *,
        shelf: Shelf,
        operations: Operations,
        buckets: Buckets,
        tell: Tell,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._operations = operations
        self._buckets = buckets
        self._tell = tell

    async def answer(self, call: Call, verb: str, uids: Sequence[str]) -> None:
        """Answer a method on the store (no UIDs), a study, a series or an instance.

        Raises
        ------
        GoogleError
            404 if there is no such method, 403 if there is no such thing, 400 for a request that is wrong.
        """
        match len(uids), verb:
            case 0, "getDICOMStoreMetrics":
                allow(call, "GET")
                await _send(call, {"name": self._store, **_metrics(self._shelf.everything(), levels=2)})
            case 1, "getStudyMetrics":
                allow(call, "GET")
                await _send(call, {"study": self._name(uids), **_metrics(self._rows(uids), levels=1)})
            case 2, "getSeriesMetrics":
                allow(call, "GET")
                await _send(call, {"series": self._name(uids), **_metrics(self._rows(uids), levels=0)})
            case 3, "getStorageInfo":
                allow(call, "GET")
                await self._storage_info(call, uids)
            case 0 | 1, "setBlobStorageSettings":
                allow(call, "POST")
                await self._set_class(call, uids)
            case 0, "import":
                allow(call, "POST")
                await self._import(call)
            case 0, "export":
                allow(call, "POST")
                await self._export(call)
            case _:
                raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")

    def _name(self, uids: Sequence[str]) -> str:
        levels = zip(("studies", "series", "instances"), uids, strict=False)
        return f"{self._store}/dicomWeb/" + "/".join(f"{level}/{uid}" for level, uid in levels)

    def _rows(self, uids: Sequence[str]) -> list[Row]:
        rows = self._shelf.find(*uids)
        if not rows:
            raise GoogleError.absent()
        return rows

    async def _storage_info(self, call: Call, uids: Sequence[str]) -> None:
        (row,) = self._rows(uids)
        blob = {
            "sizeBytes": str(row.size),
            "storageClass": class_of(row),
            "storageClassUpdateTime": class_since(row),
        }
        structured = {"sizeBytes": str(row.metadata_path.stat().st_size)}
        await _send(
            call,
            {
                "referencedResource": self._name(uids),
                "blobStorageInfo": blob,
                "structuredStorageInfo": structured,
            },
        )

    async def _set_class(self, call: Call, uids: Sequence[str]) -> None:
        wish = await _read(call, _SetBlobSettings)
        wanted = _wanted_class(wish.blob_storage_settings)
        if uids:
            rows = self._rows(uids)
        elif wish.filter_config is not None:
            rows = await self._filtered(wish.filter_config)
        else:
            raise GoogleError.bad_request("a filter is needed for a whole store")

        async def work(progress: Progress) -> None:
            for row in rows:
                before = await asyncio.to_thread(set_class, row, wanted)
                progress.success += 1
                self._tell("SetBlobSettings", row, before)

        await _send(call, self._operations.begin("SetBlobStorageSettings", work))

    async def _import(self, call: Call) -> None:
        wish = await _read(call, _Import)
        wanted = _wanted_class(wish.blob_storage_settings or _BlobSettings())
        files = list(self._buckets.matching(wish.gcs_source.uri))

        async def work(progress: Progress) -> None:
            if not files:
                raise ValueError("no matching objects found")
            for path in files:
                try:
                    identity = await asyncio.to_thread(self._take, path)
                except (UnreadableFileError, ConflictingInstanceError, BeingDeletedError):
                    progress.failure += 1
                    continue
                (row,) = self._shelf.find(identity.study, identity.series, identity.instance)
                set_class(row, wanted)
                progress.success += 1
                self._tell("ImportDicomData", row, None)
            if progress.failure:
                raise ValueError(f"{progress.failure} of {len(files)} objects were not imported; see the log")

        await _send(call, self._operations.begin("ImportDicomData", work))

    def _take(self, path: Path) -> Identity:
        draft = self._shelf.draft()
        try:
            with path.open("rb") as file:
                while data := file.read(1024 * 1024):
                    draft.write(data)
            return self._shelf.add(draft)
        finally:
            draft.discard()

    async def _export(self, call: Call) -> None:
        wish = await _read(call, _Export)
        if wish.gcs_destination.mime_type.partition(";")[0].strip() != "application/dicom":
            raise GoogleError.bad_request("this emulator exports files as they were stored only")
        prefix = wish.gcs_destination.uri_prefix
        self._buckets.place(prefix, "probe")
        rows = self._shelf.everything() if wish.filter_config is None else await self._filtered(wish.filter_config)

        async def work(progress: Progress) -> None:
            for row in rows:
                place = self._buckets.place(prefix, f"{row.study}/{row.series}/{row.instance}.dcm")
                place.parent.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(shutil.copyfile, row.path, place)
                progress.success += 1

        await _send(call, self._operations.begin("ExportDicomData", work))

    async def _filtered(self, config: _Filter) -> list[Row]:
        (listing, *_) = [*self._buckets.matching(config.resource_paths_gcs_uri), None]
        if listing is None:
            raise GoogleError.absent()
        rows: dict[Path, Row] = {}
        for line in (await asyncio.to_thread(listing.read_text, "utf-8")).splitlines():
            steps = line.split("/")
            if steps[:2] != ["", "studies"] or steps[3::2] != ["series", "instances"][: len(steps[3::2])]:
                raise GoogleError.bad_request("a line of the filter is no resource path")
            rows.update((row.path, row) for row in self._shelf.find(*steps[2::2]))
        return list(rows.values())


def _metrics(rows: Sequence[Row], *, levels: int) -> dict[str, str]:
    counts = {"instanceCount": len(rows)}
    if levels > 0:
        counts["seriesCount"] = len({(row.study, row.series) for row in rows})
    if levels > 1:
        counts["studyCount"] = len({row.study for row in rows})
    counts["blobStorageSizeBytes"] = sum(row.size for row in rows)
    counts["structuredStorageSizeBytes"] = sum(row.metadata_path.stat().st_size for row in rows)
    return {name: str(count) for name, count in counts.items()}


def _wanted_class(settings: _BlobSettings) -> str:
    if settings.blob_storage_class not in CLASSES:
        raise GoogleError.bad_request("unknown storage class")
    return settings.blob_storage_class


async def _read(call: Call, wish: type[Wish]) -> Wish:
    body = b""
    async for chunk in call.body():
        body += chunk
        if len(body) > _LARGEST_REQUEST:
            raise GoogleError.bad_request("request payload size exceeds the limit: 10 MB")
    try:
        return msgspec.json.decode(body, type=wish)
    except msgspec.MsgspecError as error:
        raise GoogleError.bad_request(f"invalid JSON payload: {error}") from None


async def _send(call: Call, answer: dict[str, Any]) -> None:
    await call.answer(HTTPStatus.OK, json.dumps(answer).encode(), _JSON)
