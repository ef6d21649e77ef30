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

from starlette.types import Receive, Scope, Send

from local.healthcare_emulator import retrieve
from local.healthcare_emulator.access_tokens import AccessTokens
from local.healthcare_emulator.calls import Call, ClientGoneError
from local.healthcare_emulator.dicom_file import Identity
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.notifications import Instance, Notifications
from local.healthcare_emulator.search import search
from local.healthcare_emulator.shelf import Shelf
from local.healthcare_emulator.stow import store

__all__ = ["Emulator", "StoreName"]

_UID: Final = r"[0-9.]{1,64}"
_STORE: Final = re.compile(
    r"/(?:v1|v1beta1)/(?P<store>projects/[^/]+/locations/[^/]+/datasets/[^/]+/dicomStores/[^/:]+)/dicomWeb(?P<rest>/.*)"
)
_OPERATION: Final = re.compile(
    r"/(?:v1|v1beta1)/(?P<dataset>projects/[^/]+/locations/[^/]+/datasets/[^/]+)/operations/(?P<id>[0-9]+)"
)
_RESOURCE: Final = re.compile(
    rf"/studies(?:/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?)?"
    r"(?P<rest>/metadata|/series|/instances|(?:/frames/[0-9]+)?/rendered|/frames/[0-9,]+|/bulkdata/[0-9A-Za-z/]+)?"
)
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
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._public_url = public_url
        self._operation_seconds = operation_seconds
        self._tokens = AccessTokens(folder / "token-key", lifetime=token_lifetime)
        self._shelf = Shelf(folder)
        self._deletions: set[asyncio.Task[None]] = set()
        self._notifications = notifications or Notifications(name.path, url=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        call = Call(scope, receive, send, public_url=self._public_url)
        in_array = "/dicomWeb" in call.path
        # A return in the middle of an answer has the server cut it.
        with suppress(ClientGoneError):
            try:
                await self._route(call)
            except GoogleError as error:
                await call.drain()
                await call.answer(error.status, error.body(in_array=in_array), _JSON, headers=error.headers)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        for identifier, study, series in self._shelf.unfinished_operations():
            self._start_deletion(identifier, study, series)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._notifications.aclose()
        self._shelf.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _route(self, call: Call) -> None:
        if call.path == "/" or call.path.startswith(_METADATA):
            await self._metadata_server(call)
            return
        self._authenticate(call)
        if (match := _OPERATION.fullmatch(call.path)) is not None:
            await self._operation(call, match["dataset"], match["id"])
            return
        match = _STORE.fullmatch(call.path)
        if match is None:
            raise GoogleError(HTTPStatus.NOT_FOUND, "Not found.")
        if match["store"] != self._name.path:
            raise GoogleError.absent()
        await self._dicomweb(call, match["rest"])

    def _authenticate(self, call: Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens.accept(token):
            return
        realm = 'Bearer realm="https://accounts.google.com/"'
        if scheme:
            realm += ', error="invalid_token"'
        message = "Request had invalid authentication credentials." if scheme else "Request is missing credentials."
        raise GoogleError(HTTPStatus.UNAUTHORIZED, message, headers={"WWW-Authenticate": realm})

    # DICOMweb --------------------------------------------------------------------------------------------------

    async def _dicomweb(self, call: Call, path: str) -> None:
        if path in {"/series", "/instances"}:
            _allow(call, "GET")
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
            _allow(call, "GET", *_other_methods(series, rest))
            await self._read(call, study, series, instance, rest or "")

    async def _studies(self, call: Call) -> None:
        if call.method == "POST":
            await store(call, self._shelf, base=self._base(call), study=None, told=self._stored)
            return
        _allow(call, "GET", "POST")
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
        self._notifications.publish("StoreInstances", [Instance(identity.study, identity.series, identity.instance)])

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
        await call.answer(HTTPStatus.OK, self._operation_body(identifier, done=False), _JSON)

    async def _remove(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        rows = self._shelf.find(study, series, instance)
        await asyncio.to_thread(self._shelf.delete, study, series, instance)
        self._notifications.publish("DeleteInstances", [Instance(row.study, row.series, row.instance) for row in rows])

    def _start_deletion(self, identifier: str, study: str, series: str | None) -> None:
        async def run() -> None:
            await asyncio.sleep(self._operation_seconds)
            await self._remove(study, series)
            self._shelf.finish_operation(identifier)

        task = asyncio.create_task(run())
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)

    async def _operation(self, call: Call, dataset: str, identifier: str) -> None:
        _allow(call, "GET")
        done = self._shelf.operation_done(identifier) if dataset == self._name.dataset_path else None
        if done is None:
            raise GoogleError.absent()
        await call.answer(HTTPStatus.OK, self._operation_body(identifier, done=done), _JSON)

    def _operation_body(self, identifier: str, *, done: bool) -> bytes:
        operation: dict[str, object] = {"name": f"{self._name.dataset_path}/operations/{identifier}"}
        if done:
            operation |= {"done": True, "response": {"@type": "type.googleapis.com/google.protobuf.Empty"}}
        return json.dumps(operation).encode()

    # Metadata server -------------------------------------------------------------------------------------------

    async def _metadata_server(self, call: Call) -> None:
        """Answer as the metadata server of a virtual machine does, as far as google-auth asks."""
        _allow(call, "GET")
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


def _allow(call: Call, *methods: str) -> None:
    if call.method not in methods:
        raise GoogleError(
            HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.", headers={"Allow": ", ".join(sorted(methods))}
        )
