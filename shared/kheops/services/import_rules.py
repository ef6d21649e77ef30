"""Who gets what a filled store holds: rules from attributes of a series to an inbox or an album."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kheops.dicomweb.attributes import CATALOGED_ATTRIBUTES, Level
from kheops.errors import BadRequestError, InvalidIdentifierError
from kheops.ids import AlbumId, album_id

__all__ = ["ImportRule", "parse_rules"]

_MOST: Final = 1000
_MEMBERS: Final = frozenset({"album", "user", "issuer", "match"})
_KEYWORDS: Final = frozenset(each.keyword for each in CATALOGED_ATTRIBUTES if each.level is not Level.INSTANCE)


@dataclass(frozen=True, slots=True)
class ImportRule:
    """One rule: to an album, or to somebody's inbox.

    Parameters
    ----------
    album
        The album; ``None`` for a person.
    user
        The person's ``sub`` or e-mail address; ``None`` for an album.
    issuer
        Of the ``sub``; ``None`` for the default issuer.
    match
        Patterns by keyword, in which ``*`` is any text and ``?`` any character. All must match; none matches all.
    """

    album: AlbumId | None = None
    user: str | None = None
    issuer: str | None = None
    match: Mapping[str, str] = field(default_factory=dict)

    def takes(self, attributes: Mapping[str, str]) -> bool:
        """Return whether a series with these attributes is meant; an attribute that it lacks matches no pattern."""
        return all(
            keyword in attributes and _expression(pattern).fullmatch(attributes[keyword]) is not None
            for keyword, pattern in self.match.items()
        )


def parse_rules(document: object) -> tuple[ImportRule, ...]:
    """Return the rules of a JSON document: a list of objects with ``album`` or ``user``, and ``match``.

    Raises
    ------
    BadRequestError
        If it is none, with the number of the rule that is wrong.
    """
    if not isinstance(document, list) or not 0 < len(document) <= _MOST:
        raise BadRequestError(f"Rules are a JSON list of 1 to {_MOST} objects.")
    return tuple(_rule(number, each) for number, each in enumerate(document, start=1))


def _rule(number: int, value: object) -> ImportRule:
    def wrong(what: str) -> BadRequestError:
        return BadRequestError(f"Rule {number}: {what}")

    if not isinstance(value, dict) or not value.keys() <= _MEMBERS:
        raise wrong(f"an object with {', '.join(sorted(_MEMBERS))} and nothing else is needed.")
    album, user, issuer, match = (value.get(name) for name in ("album", "user", "issuer", "match"))
    if (album is None) == (user is None):
        raise wrong("either an album or a user is needed.")
    if not all(each is None or (isinstance(each, str) and each) for each in (album, user, issuer)):
        raise wrong("album, user and issuer are texts.")
    if issuer is not None and user is None:
        raise wrong("an issuer goes with a user only.")
    match = {} if match is None else match
    if not isinstance(match, dict) or not all(isinstance(pattern, str) for pattern in match.values()):
        raise wrong("match is an object of texts.")
    unknown = sorted(match.keys() - _KEYWORDS)
    if unknown:
        raise wrong(f"{unknown[0][:64]!r} is no attribute that the catalog has of a series.")
    try:
        return ImportRule(None if album is None else album_id(album), user, issuer, match)
    except InvalidIdentifierError:
        raise wrong("an album is named by its id of ten characters.") from None


def _expression(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(each) or re.escape(each) for each in pattern), re.DOTALL)
