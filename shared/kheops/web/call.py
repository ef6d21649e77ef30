"""One request, as a handler sees it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from kheops.domain.principals import Principal
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import (
    BadFormParameterError,
    BadQueryParameterError,
    ClientGoneError,
    MissingCredentialsError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from kheops.factory import Process
from kheops.web.declaration import Declaration

if TYPE_CHECKING:  # only the data plane has them: cold start counts
    from kheops.dicomweb.resources import Resource

__all__ = ["CONTROL_IN_TEXT", "AsgiResponse", "Call", "Form", "Handler"]

_FORM_LIMIT: Final = 64 * 1024
"""Bytes of a form; KHEOPS's longest field is 2,048 characters."""
_QUERY_LIMIT: Final = 16 * 1024
_FIELDS_LIMIT: Final = 1000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
CONTROL_IN_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that no field of what people write may contain; it has lines and tabs. PostgreSQL refuses NUL."""


class AsgiResponse(Protocol):
    """What a handler returns: anything that answers over ASGI, Starlette's responses among them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""


@dataclass(frozen=True, slots=True)
class Form:
    """An ``application/x-www-form-urlencoded`` body."""

    pairs: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str | None:
        """Return the value of ``name``; ``None`` if absent.

        Raises
        ------
        BadFormParameterError
            If it is given twice.
        """
        values = self.all(name)
        if len(values) > 1:
            raise BadFormParameterError(f"'{name}' is given more than once.")
        return values[0] if values else None

    def required(self, name: str) -> str:
        """Return the value of ``name``; raise `BadFormParameterError` if it is absent, blank or given twice."""
        value = self.one(name)
        if value is None or not value.strip():
            raise BadFormParameterError(f"'{name}' is required and must not be blank.")
        return value

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of ``name`` in order."""
        return tuple(value for key, value in self.pairs if key == name)

    def flag(self, name: str) -> bool | None:
        """Return a boolean; ``None`` if absent. Raises `BadFormParameterError` unless it is true or false."""
        value = self.one(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise BadFormParameterError(f"'{name}' must be true or false.")
        return value.lower() == "true"


@dataclass(slots=True)
class Call:
    """A request with what the entry found out about it.

    Handlers take it and return a response; what they need of the system is ``process``.
    """

    request: Request
    process: Process
    request_id: str
    source_address: str | None
    path: str
    """The raw path below ``/api`` or ``/api/link/{token}`` (or the whole path of a page), never decoded."""
    below_api: bool = True
    """Whether the request's path began with ``/api/``; the same names at the root are other paths."""
    link_token: str | None = None
    """The token of ``/api/link/{token}/``; only then do returned URLs carry a token, and then this one."""
    caller: Principal | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    """Segments that the route's template names, validated by their kind and percent-decoded."""
    declared: Declaration | None = None
    """What the route promises, its parameters among it; ``None`` before a route is found, and for pages."""
    template: str | None = None
    """The route's template, for whoever counts requests; ``None`` before one is found."""
    resource: "Resource | None" = None
    """What the path of the data plane names, in place of a template."""
    asked: Use | None = None
    """What a reading handler says of its use, where the path does not tell it all."""

    @property
    def method(self) -> str:
        """The request method."""
        return self.request.method

    @property
    def principal(self) -> Principal:
        """Who calls; raises `MissingCredentialsError` where nobody was identified."""
        if self.caller is None:
            raise MissingCredentialsError
        return self.caller

    @property
    def api_root(self) -> str:
        """Where links in answers start: ``{public_url}/api``, with the link token if the caller came by one."""
        root = f"{self.process.settings.public_url}/api"
        return root if self.link_token is None else f"{root}/link/{self.link_token}"

    def query(self) -> list[tuple[str, str]]:
        """Return the decoded pairs of the query string, in order, blanks kept.

        Raises
        ------
        BadQueryParameterError
            If it is longer than 16 KiB, has more than 1,000 parameters, is not UTF-8, or contains control characters.
        """
        raw = self.request.scope["query_string"]
        if not raw:
            return []
        if len(raw) > _QUERY_LIMIT:
            raise BadQueryParameterError("The query string is longer than 16 KiB.")
        if raw.count(b"&") >= _FIELDS_LIMIT:
            raise BadQueryParameterError(f"The query string has more than {_FIELDS_LIMIT} parameters.")
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_LIMIT
            )
        except (UnicodeDecodeError, ValueError):
            raise BadQueryParameterError("The query string is not percent-encoded UTF-8.") from None
        if any(_CONTROL.search(name) or _CONTROL.search(value) for name, value in pairs):
            raise BadQueryParameterError("The query string contains control characters.")
        return pairs

    async def form(self) -> Form:
        """Read a form body.

        Raises
        ------
        UnsupportedMediaTypeError
            If there is a body of another media type.
        PayloadTooLargeError
            If it is larger than 64 KiB.
        BadFormParameterError
            If it has more than 1,000 fields, is not UTF-8 or contains control characters.
        ClientGoneError
            If it breaks off, or its transfer coding is malformed.
        """
        body = bytearray()
        try:
            async for chunk in self.request.stream():
                body += chunk
                if len(body) > _FORM_LIMIT:
                    raise PayloadTooLargeError("A form may have 64 KiB at most.")
        except ClientDisconnect:
            raise ClientGoneError from None
        media_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded" and (body or media_type):
            raise UnsupportedMediaTypeError("Send application/x-www-form-urlencoded.")
        if body.count(b"&") >= _FIELDS_LIMIT:
            raise BadFormParameterError(f"The form has more than {_FIELDS_LIMIT} fields.")
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_LIMIT
            )
        except (UnicodeDecodeError, ValueError):
            raise BadFormParameterError("The form is not percent-encoded UTF-8.") from None
        if any(CONTROL_IN_TEXT.search(name) or CONTROL_IN_TEXT.search(value) for name, value in pairs):
            raise BadFormParameterError("The form contains control characters.")
        return Form(tuple(pairs))

    def user(self) -> User:
        """Return who calls, as the audit trail names them."""
        principal = self.principal
        return User(principal.iss, principal.sub, principal.token_id, principal.acting_party)

    def use(self, kind: UseKind, outcome: Outcome = Outcome.GRANTED) -> Use:
        """Return a use by the caller of this request; `dataclasses.replace` adds the objects."""
        return Use(
            user=self.user(),
            kind=kind,
            outcome=outcome,
            source_address=self.source_address,
            request_id=self.request_id,
        )


Handler = Callable[[Call], Awaitable[AsgiResponse]]
