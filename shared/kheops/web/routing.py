"""Route tables of the control plane and the pages: what is not in a table is 404.

A template such as ``/albums/{album}/users/{user}`` matches the raw path, segment by segment; a segment's kind is its
name. Percent-encoding is decoded in ``user`` segments only, after the split, so that ``%2F`` never moves a boundary.
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

__all__ = ["Route", "RouteTable", "user_reference"]

_KINDS: Final = {
    "album": r"[A-Za-z0-9]{10}",
    "capability": r"[A-Za-z0-9]{10}",
    "user": r"[^/]{1,1000}",
    "asset": r"[a-z0-9-]{1,40}\.(?:css|js|svg|png)",
}
_NAME: Final = re.compile(r"\{([a-z]+)\}")
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

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return "GET" in self.methods

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression over the raw path."""
        parts = _NAME.split(self.template)
        text = "".join(
            f"(?P<{part}>{_KINDS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts)
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
                if "user" in params:
                    params["user"] = user_reference(params["user"])
                return route, params
            allowed |= methods
        if allowed:
            raise MethodNotAllowedError(frozenset(allowed | {"OPTIONS"}))
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
