"""The emulator as an ASGI application: its routes, its bearer check, its metadata server."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from local.healthcare_emulator import retrieve
from local.healthcare_emulator.access_tokens import AccessTokens
from local.healthcare_emulator.buckets import Buckets
from local.healthcare_emulator.calls import Call, ClientGoneError, allow
from local.healthcare_emulator.custom_methods import CustomMethods
from local.healthcare_emulator.dicom_file import Identity
from local.healthcare_emulator.faults import (
    ConnectionDroppedError,
    FaultPlan,
    Faults,
    reset_connection,
)
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.notifications import Action, Instance, Notifications
from local.healthcare_emulator.operations import Operations
from local.healthcare_emulator.quotas import Quotas
from local.healthcare_emulator.search import search
from local.healthcare_emulator.shelf import Row, Shelf
from local.healthcare_emulator.storage_classes import class_of
from local.healthcare_emulator.store_resource import StoreResource
from local.healthcare_emulator.stow import store

__all__ = ["Emulator", "StoreName"]

_UID: Final = r"[0-9.]{1,64}"
_STORE: Final = re.compile(
    r"/(?:v1|v1beta1)/(?P<store>projects/[^/]+/locations/[^/]+/datasets/[^/]+/dicomStores/[^/:]+)/dicomWeb(?P<rest>/.*)"
)
_CUSTOM: Final = re.compile(
    r"/(?:v1|v1beta1)/(?P<store>projects/[^/]+/locations/[^/]+/datasets/[^/]+/dicomStores/[^/:]+)"
    rf"(?:/dicomWeb/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?)?"
    r":(?P<verb>[A-Za-z]+)"
)
_OPERATION: Final = re.compile(
    r"/(?:v1|v1beta1)/(?P<dataset>projects/[^/]+/locations/[^/]+/datasets/[^/]+)/operations/(?P<id>[0-9]+)"
)
_RESOURCE: Final = re.compile(
    rf"/studies(?:/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?)?"
    r"(?P<rest>/metadata|/series|/instances|(?:/frames/[0-9]+)?/rendered|/frames/[0-9,]+|/bulkdata/[0-9A-Za-z/]+)?"
)
_API: Final = "/v1"
_FAULTS: Final = "/emulator/faults"
_METADATA: Final = "/computeMetadata/v1/"
_ACCOUNT: Final = "kheops@emulator.iam.gserviceaccount.com"
_FLAVOR: Final = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_JSON: Final = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreName:
    """Which DICOM store is emulated."""

    project: str = "local"
    location: str = "local"
    dataset: str = "kheops"
    store: str = "kheops"

    @property
    def dataset_path(self) -> str:
        """``projects/P/locations/L/datasets/D``."""
        return f"projects/{self.project}/locations/{self.location}/datasets/{self.dataset}"

    @property
    def path(self) -> str:
        """``projects/P/locations/L/datasets/D/dicomStores/S``."""
        return f"{self.dataset_path}/dicomStores/{self.store}"


class Emulator:
    """The ASGI application.

    Parameters
    ----------
    folder
        Where everything is kept.
    name
        Of the store.
    public_url
        Where clients reach us, if not at the Host that they name.
    token_lifetime
        Seconds.
    operation_seconds
        How long a deletion of a series or study takes.
    notifications
        Who is told of what is stored and deleted; nobody if not given.
    faults
        What befalls requests; nothing if not given.
    buckets
        Where import and export find their objects; nowhere if not given.
    quotas
        What a minute may have; anything if not given.
    """

    def __init__(
        self,
        folder: Path,
        name: StoreName,
        *,
        public_url: str | None = None,
        token_lifetime: int = 3600,
        operation_seconds: float = 0.2,
        notifications: Notifications | None = None,
        faults: Faults | None = None,
        buckets: Buckets | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._public_url = public_url
        self._operation_seconds = operation_seconds
        self._tokens = AccessTokens(folder / "token-key", lifetime=token_lifetime)
        self._shelf = Shelf(folder)
        self._deletions: set[asyncio.Task[None]] = set()
        self._notifications = notifications or Notifications(name.path, url=None)
        self._faults = faults or Faults()
        self._quotas = quotas or Quotas()
        self._operations = Operations(name.dataset_path, seconds=operation_seconds)
        self._resource = StoreResource(name.path, folder / "store.json")
        self._custom = CustomMethods(
            name.path,
            shelf=self._shelf,
            operations=self._operations,
            buckets=buckets or Buckets({}),
            tell=self._tell,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        # A return in the middle of an answer has the server cut it.
        with suppress(ClientGoneError):
            try:
                await self._answer(scope, receive, send)
            except ConnectionDroppedError as dropped:
                reset_connection(scope, dropped)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send, public_url=self._public_url)
        refused = None
        if call.path.startswith(_API):
            length = call.headers.get("content-length")
            befallen = await self._faults.befall(None if length is None else int(length), receive, send)
            call = Call(scope, befallen[0], befallen[1], public_url=self._public_url)
            refused = befallen[2]
        try:
            await self._route(call, refused)
        except GoogleError as error:
            await call.drain()
            in_array = "/dicomWeb" in call.path and ":" not in call.path
            await call.answer(error.status, error.body(in_array=in_array), _JSON, headers=error.headers)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        for identifier, study, series in self._shelf.unfinished_operations():
            self._start_deletion(identifier, study, series)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._operations.aclose()
        await self._notifications.aclose()
        self._shelf.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _route(self, call: Call, refused: HTTPStatus | None) -> None:
        if refused is not None:
            raise GoogleError(refused, "The emulator was told to refuse this request.")
        if call.path == "/" or call.path.startswith(_METADATA):
            await self._metadata_server(call)
            return
        self._authenticate(call)
        if call.path == _FAULTS:
            await self._set_faults(call)
            return
        if (match := _OPERATION.fullmatch(call.path)) is not None:
            await self._operation(call, match["dataset"], match["id"])
            return
        if call.path == f"/v1/{self._name.path}":
            await self._resource.answer(call)
            return
        match = _CUSTOM.fullmatch(call.path) or _STORE.fullmatch(call.path)
        if match is None:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
        if match["store"] != self._name.path:
            raise GoogleError.absent()
        if match.re is _CUSTOM:
            uids = [uid for uid in match.group("study", "series", "instance") if uid is not None]
            await self._custom.answer(call, match["verb"], uids)
            return
        self._quotas.begin()
        try:
            await self._dicomweb(call, match["rest"])
        finally:
            self._quotas.received(call.received)

    def _authenticate(self, call: Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens.accept(token):
            return
        realm = 'Bearer realm="https://accounts.google.com/"'
        if scheme:
            realm += ', error="invalid_token"'
        message = "Request had invalid authentication credentials." if scheme else "Request is missing credentials."
        raise GoogleError(HTTPStatus.UNAUTHORIZED, message, headers={"WWW-Authenticate": realm})

    async def _set_faults(self, call: Call) -> None:
        allow(call, "GET", "PUT")
        if call.method == "PUT":
            body = b"".join([chunk async for chunk in call.body()])
            try:
                self._faults.set(msgspec.json.decode(body, type=FaultPlan))
            except msgspec.ValidationError as error:
                raise GoogleError.bad_request(str(error)) from None
        await call.answer(HTTPStatus.OK, json.dumps(self._faults.state()).encode(), _JSON)

    # DICOMweb --------------------------------------------------------------------------------------------------

    async def _dicomweb(self, call: Call, path: str) -> None:
        if path in {"/series", "/instances"}:
            allow(call, "GET")
            await search(call, self._shelf, level=path[1:], study=None, series=None)
            return
        match = _RESOURCE.fullmatch(path)
        if match is None:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
        study, series, instance, rest = match["study"], match["series"], match["instance"], match["rest"]
        if study is None:
            if rest is not None:
                raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
            await self._studies(call)
        elif rest is None and call.method == "POST" and series is None:
            await store(call, self._shelf, base=self._base(call), study=study, told=self._stored)
        elif rest is None and call.method == "DELETE":
            await self._delete(call, study, series, instance)
        else:
            allow(call, "GET", *_other_methods(series, rest))
            await self._read(call, study, series, instance, rest or "")

    async def _studies(self, call: Call) -> None:
        if call.method == "POST":
            await store(call, self._shelf, base=self._base(call), study=None, told=self._stored)
            return
        allow(call, "GET", "POST")
        await search(call, self._shelf, level="studies", study=None, series=None)

    async def _read(self, call: Call, study: str, series: str | None, instance: str | None, rest: str) -> None:
        if rest in {"/series", "/instances"} and instance is None and not (rest == "/series" and series):
            await search(call, self._shelf, level=rest[1:], study=study, series=series)
            return
        if rest.startswith(("/frames/", "/bulkdata/", "/rendered")) and instance is None:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
        rows = self._shelf.find(study, series, instance)
        if not rows:
            raise GoogleError.absent()
        if rest == "":
            await retrieve.instances(call, rows, single_allowed=instance is not None)
        elif rest == "/metadata":
            await retrieve.metadata(call, rows, base=self._base(call))
        elif instance is not None and rest.endswith("/rendered"):
            from local.healthcare_emulator.rendering import rendered  # brings numpy and Pillow along

            frame = rest.removesuffix("/rendered").removeprefix("/frames/")
            await rendered(call, rows[0], int(frame[:9] or 1))
        elif instance is not None and rest.startswith("/frames/"):
            numbers = [int(number[:9]) for number in rest.removeprefix("/frames/").split(",") if number]
            await retrieve.frames(call, rows[0], numbers)
        elif instance is not None and rest.startswith("/bulkdata/"):
            await retrieve.bulkdata(call, rows[0], rest.removeprefix("/bulkdata/"))
        else:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")

    def _stored(self, identity: Identity) -> None:
        for row in self._shelf.find(identity.study, identity.series, identity.instance):
            self._tell("StoreInstances", row, None)

    def _tell(self, action: Action, row: Row, previous: str | None) -> None:
        subject = Instance(row.study, row.series, row.instance, row.modality, class_of(row), previous)
        self._notifications.publish(action, [subject])

    def _base(self, call: Call) -> str:
        return f"{call.origin}/v1/{self._name.path}/dicomWeb"

    # Deletion --------------------------------------------------------------------------------------------------

    async def _delete(self, call: Call, study: str, series: str | None, instance: str | None) -> None:
        if not self._shelf.find(study, series, instance):
            raise GoogleError.absent()
        if instance is not None:
            await self._remove(study, series, instance)
            await call.answer(HTTPStatus.OK, b"", _JSON)
            return
        identifier = self._shelf.begin_operation(study, series)
        self._start_deletion(identifier, study, series)
        body = self._deletion_body(identifier, done=False)
        await call.answer(HTTPStatus.OK, json.dumps(body).encode(), _JSON)

    async def _remove(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        rows = self._shelf.find(study, series, instance)
        classes = [class_of(row) for row in rows]
        await asyncio.to_thread(self._shelf.delete, study, series, instance)
        self._notifications.publish(
            "DeleteInstances",
            (
                Instance(row.study, row.series, row.instance, row.modality, storage_class)
                for row, storage_class in zip(rows, classes, strict=True)
            ),
        )

    def _start_deletion(self, identifier: str, study: str, series: str | None) -> None:
        async def run() -> None:
            await asyncio.sleep(self._operation_seconds)
            await self._remove(study, series)
            self._shelf.finish_operation(identifier)

        task = asyncio.create_task(run())
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)

    async def _operation(self, call: Call, dataset: str, identifier: str) -> None:
        allow(call, "GET")
        known = None
        if dataset == self._name.dataset_path:
            known = self._operations.look(identifier)
            done = self._shelf.operation_done(identifier)
            if done is not None:
                known = self._deletion_body(identifier, done=done)
        if known is None:
            raise GoogleError.absent()
        await call.answer(HTTPStatus.OK, json.dumps(known).encode(), _JSON)

    def _deletion_body(self, identifier: str, *, done: bool) -> dict[str, object]:
        operation: dict[str, object] = {"name": f"{self._name.dataset_path}/operations/{identifier}"}
        if done:
            operation |= {"done": True, "response": {"@type": "type.googleapis.com/google.protobuf.Empty"}}
        return operation

    # Metadata server -------------------------------------------------------------------------------------------

    async def _metadata_server(self, call: Call) -> None:
        """Answer as the metadata server of a virtual machine does, as far as google-auth asks."""
        allow(call, "GET")
        if call.headers.get("metadata-flavor") != "Google":
            raise GoogleError(HTTPStatus.FORBIDDEN, "Missing Metadata-Flavor:Google header.")
        account = {
            "aliases": ["default"],
            "email": _ACCOUNT,
            "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        }
        answers: dict[str, Callable[[], object]] = {
            "/": lambda: "computeMetadata/",
            f"{_METADATA}project/project-id": lambda: self._name.project,
            f"{_METADATA}universe/universe-domain": lambda: "googleapis.com",
            f"{_METADATA}universe/universe_domain": lambda: "googleapis.com",
            f"{_METADATA}instance/service-accounts/default/": lambda: account,
            f"{_METADATA}instance/service-accounts/default/email": lambda: _ACCOUNT,
            f"{_METADATA}instance/service-accounts/default/token": self._token,
            f"{_METADATA}instance/service-accounts/{_ACCOUNT}/": lambda: account,
            f"{_METADATA}instance/service-accounts/{_ACCOUNT}/token": self._token,
        }
        if call.path not in answers:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
        answer = answers[call.path]()
        if isinstance(answer, str):
            await call.answer(HTTPStatus.OK, answer.encode(), "application/text", headers=_FLAVOR)
        else:
            await call.answer(HTTPStatus.OK, json.dumps(answer).encode(), "application/json", headers=_FLAVOR)

    def _token(self) -> object:
        return {
            "access_token": self._tokens.issue(),
            "expires_in": self._tokens.lifetime,
            "token_type": "Bearer",
        }


def _other_methods(series: str | None, rest: str | None) -> tuple[str, ...]:
    if rest is not None:
        return ()
    return ("POST", "DELETE") if series is None else ("DELETE",)
