"""Route tables of the control plane and the pages: what is not in a table is 404.

A template such as ``/albums/{album}/users/{user}`` matches the raw path, segment by segment; a segment's kind is its
name. Percent-encoding is decoded in ``user`` and ``group`` segments only, after the split, so that ``%2F`` never moves
a boundary.

How a route is declared::

    # beside the handler, in kheops/web/api/boxes.py
    CREATE: Final = Declaration(
        "Create a box",
        json_answer("The box.", _BOX, status=201),
        form=(Parameter("name", "Its name.", text(least=1, most=255), required=True), Parameter("colour")),
        errors=(409,),
    )

    async def create(call: Call) -> Response:
        form = await form_of(call)  # lets pass the fields of the declaration and no others
        ...

    # in kheops/web/api_service.py
    Route(("POST",), "/boxes", boxes.create, UseKind.BOX_CREATED, declared=boxes.CREATE)

A route with two methods is two rows. ``_BOX`` is a schema of `kheops.web.schema` beside the function that writes a
box. A test fails for a route of the API without declaration; it lets no parameter pass. A kind of segment that is new
needs a row in `SEGMENTS`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import unquote_to_bytes

from kheops.domain.uses import UseKind
from kheops.errors import MethodNotAllowedError, RouteNotFoundError
from kheops.web.call import Handler
from kheops.web.declaration import Declaration

__all__ = ["SEGMENTS", "Route", "RouteTable", "user_reference"]

SEGMENTS: Final = {
    "album": r"[A-Za-z0-9]{10}",
    "capability": r"[A-Za-z0-9]{10}",
    "client": r"[A-Za-z0-9]{22}",
    "link": r"[A-Za-z0-9]{10}",
    "invitation": r"[A-Za-z0-9]{10}",
    "webhook": r"[A-Za-z0-9]{20}",
    "user": r"[^/]{1,1000}",
    "group": r"[^/]{1,1000}",
    "series": r"[0-9.]{1,64}",
    "task": r"[a-z]{1,20}",
    "asset": r"[a-z0-9-]{1,40}\.(?:css|js|svg|png)",
}
"""What a segment of a template may be, by its name."""
_NAME: Final = re.compile(r"\{([a-z]+)\}")
_REFERENCES: Final = frozenset({"user", "group"})
"""Kinds that are percent-decoded."""
_LONGEST_REFERENCE: Final = 320
"""Characters of a user reference; the longest e-mail address (RFC 3696) has as many."""


@dataclass(frozen=True)
class Route:
    """One path with one or more methods.

    Parameters
    ----------
    methods
        The methods; a GET route answers HEAD as well.
    template
        The path below ``/api`` (or the whole path of a page).
    handler
        What answers.
    kind
        How the audit trail names its use.
    public
        Whether it needs no credential. The default is that it does.
    declared
        What it takes and answers; pages have none.

    Notes
    -----
    A reading route (GET) is recorded by the dispatcher; one that changes something records itself in the transaction
    of the change, so that neither is there without the other.
    """

    methods: tuple[str, ...]
    template: str
    handler: Handler
    kind: UseKind = UseKind.ALBUM_READ
    public: bool = False
    declared: Declaration | None = None

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return "GET" in self.methods

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression over the raw path."""
        parts = _NAME.split(self.template)
        text = "".join(
            f"(?P<{part}>{SEGMENTS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
        return re.compile(text, re.ASCII)


class RouteTable:
    """Finds the route of a request; default is none."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and its segments.

        Raises
        ------
        RouteNotFoundError
            If no route has this path.
        MethodNotAllowedError
            If one has, but not with this method.
        """
        allowed: set[str] = set()
        for route in self.routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            methods = {*route.methods, "HEAD"} if "GET" in route.methods else set(route.methods)
            if method in methods:
                params = match.groupdict()
                for name in _REFERENCES & params.keys():
                    params[name] = user_reference(params[name])
                return route, params
            allowed |= methods
        if allowed:
            raise MethodNotAllowedError(frozenset(allowed))
        raise RouteNotFoundError


def user_reference(segment: str) -> str:
    """Return a percent-encoded path segment as a user reference: an e-mail address or a ``sub``.

    Raises
    ------
    RouteNotFoundError
        If it is not UTF-8, contains control characters, or is longer than 320 characters.
    """
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise RouteNotFoundError from None
    if not text or len(text) > _LONGEST_REFERENCE or not text.isprintable():
        raise RouteNotFoundError
    return text
