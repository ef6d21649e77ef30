"""What requests to the control plane carry: forms and query strings, with nothing in them that is not known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from kheops.domain.albums import Page
from kheops.errors import AlbumNotFoundError, BadFormParameterError, BadQueryParameterError, InvalidIdentifierError
from kheops.ids import AlbumId, album_id
from kheops.web.call import Call, Form

__all__ = ["Query", "album_of", "bounded", "form_of", "query_of", "time_of", "titled"]

_INTEGER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_MOST: Final = 999_999_999
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Query:
    """A query string whose names are known and given once each."""

    values: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values of those names that may be given more than once, where they are given."""

    def one(self, name: str) -> str | None:
        """Return a value; ``None`` if absent."""
        return self.values.get(name)

    def all(self, name: str) -> tuple[str, ...] | None:
        """Return the values of a name that may be given more than once; ``None`` if absent."""
        return self.lists.get(name)

    def flag(self, name: str) -> bool:
        """Return a boolean, false if absent; raise `BadQueryParameterError` unless it is true or false."""
        value = self.values.get(name, "false").lower()
        if value not in {"true", "false"}:
            raise BadQueryParameterError(f"'{name}' must be true or false.")
        return value == "true"

    def page(self) -> Page:
        """Return ``limit`` and ``offset``; raise `BadQueryParameterError` unless whole numbers from 1 and from 0.

        Neither may have more than nine digits.
        """
        default = Page()
        return Page(limit=self._integer("limit", default.limit, least=1), offset=self._integer("offset", 0, least=0))

    def _integer(self, name: str, default: int, *, least: int) -> int:
        text = self.values.get(name)
        if text is None:
            return default
        if _INTEGER.fullmatch(text) is None or int(text) < least:
            raise BadQueryParameterError(f"'{name}' must be a whole number from {least} to {_MOST}.")
        return int(text)


def query_of(call: Call) -> Query:
    """Return the query string, whose names are those that the route declares.

    Raises
    ------
    BadQueryParameterError
        If it has other names, or one twice that may not be repeated.
    """
    declared = () if call.declared is None else call.declared.query
    known = tuple(each.name for each in declared if not each.repeated)
    repeated = tuple(each.name for each in declared if each.repeated)
    pairs = call.query()
    if {name for name, _ in pairs} - {*known, *repeated}:
        names = ", ".join(f"'{name}'" for name in (*known, *repeated)) or "none"
        raise BadQueryParameterError(f"The parameters known here are: {names}.")
    lists: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name in repeated:
            lists[name] = (*lists.get(name, ()), value)
    once = [pair for pair in pairs if pair[0] not in repeated]
    values = dict(once)
    if len(values) != len(once):
        raise BadQueryParameterError("A parameter is given more than once.")
    return Query(values, lists)


async def form_of(call: Call) -> Form:
    """Read the form, whose names are those that the route declares.

    Raises
    ------
    BadFormParameterError
        If it has other names, or one twice that may not be repeated.
    KheopsError
        As `Call.form` raises them.
    """
    declared = () if call.declared is None else call.declared.form or ()
    known = tuple(each.name for each in declared)
    repeated = {each.name for each in declared if each.repeated}
    form = await call.form()
    given = [name for name, _ in form.pairs]
    if set(given) - set(known):
        names = ", ".join(f"'{name}'" for name in known)
        raise BadFormParameterError(f"The parameters known here are: {names}.")
    once = [name for name in given if name not in repeated]
    if len(set(once)) != len(once):
        raise BadFormParameterError("A parameter is given more than once.")
    return form


def time_of(form: Form, name: str) -> datetime | None:
    """Return a time in UTC; ``None`` if absent.

    Raises
    ------
    BadFormParameterError
        Unless it is ISO 8601 with an offset.
    """
    text = form.one(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise BadFormParameterError(f"'{name}' must have an offset from UTC, such as Z or +01:00.")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadFormParameterError(f"'{name}' must be an ISO 8601 date and time with an offset.") from None


def bounded(name: str, text: str, *, most: int) -> str:
    """Return a trimmed text; raise `BadFormParameterError` if it is blank or longer than ``most`` characters."""
    trimmed = text.strip()
    if not trimmed:
        raise BadFormParameterError(f"'{name}' must not be blank.")
    if len(trimmed) > most:
        raise BadFormParameterError(
            f"Param '{name}' is too long max expected: {most} characters but got :{len(trimmed)}"
        )
    return trimmed


def titled(name: str, text: str, *, most: int) -> str:
    """Return what people call something, as `bounded`; mails and pages quote it within words of ours.

    Raises
    ------
    BadFormParameterError
        As `bounded`, and if it holds a control of writing direction (Unicode Standard Annex 9, section 2: embeddings,
        overrides, isolates), which would turn the words around it.
    """
    trimmed = bounded(name, text, most=most)
    if _DIRECTION.search(trimmed):
        raise BadFormParameterError(f"'{name}' must not hold control characters of writing direction.")
    return trimmed


def album_of(text: str) -> AlbumId:
    """Return an album's id; what cannot be one is answered as an album that does not exist."""
    try:
        return album_id(text)
    except InvalidIdentifierError:
        raise AlbumNotFoundError from None
