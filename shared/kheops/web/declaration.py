"""What a route promises: what it takes, what it answers, and with which statuses it refuses.

A declaration is the one truth of a route's parameters: `kheops.web.api.parameters.query_of` and ``form_of`` take the
names that they let pass from it, and the OpenAPI document is made from it. So a parameter that is not declared is
refused, and one that is declared is documented. What answers look like is held against it by schemathesis
(``tests/system/openapi``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kheops.web.schema import COUNT, TEXT, Schema, text, whole

__all__ = [
    "ALBUM",
    "CREATED",
    "DONE",
    "INBOX",
    "ISSUER",
    "JSON",
    "LIMIT",
    "OFFSET",
    "PAGING",
    "Answer",
    "Declaration",
    "Parameter",
    "json_answer",
    "listed_answer",
]

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, a field of a form, or a header.

    Parameters
    ----------
    name
        As it is written.
    about
        What it means, in one sentence.
    schema
        Of one value, as it is before it is written down: a flag is a boolean, not the word ``true``.
    required
        Whether the request is refused without it.
    repeated
        Whether it may be given more than once.
    """

    name: str
    about: str = ""
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of success.

    Parameters
    ----------
    about
        What it means, in one sentence.
    content
        The schema of each media type that its body may have; nothing for an answer without a body. Media types of
        which no schema can be given (images, multipart) have an empty one.
    headers
        Headers that this route has and others have not, with what they mean.
    """

    about: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a route promises.

    Parameters
    ----------
    summary
        What it does, in a few words that begin with a verb.
    answers
        The answer of each status of success.
    query
        Its query parameters.
    headers
        Headers that it reads and others do not.
    form
        The fields of its form; ``None`` where it reads none.
    bodies
        Media types of a body that is no form.
    errors
        Statuses of its refusals beyond those that follow from the rest: every route may answer 400 (a query string
        that cannot be read) and 503; one that is not public 401, 403 and 404; one that reads a body 413 and 415.
    oauth
        Whether refusals of what the form says are answered in OAuth's words (RFC 6749 section 5.2).
    open_query
        Whether further query parameters are let pass, as in searches (PS3.18 section 8.3.4).
    """

    summary: str
    answers: Mapping[int, Answer]
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    form: tuple[Parameter, ...] | None = None
    bodies: Mapping[str, Schema] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    oauth: bool = False
    open_query: bool = False


DONE: Final[Mapping[int, Answer]] = {204: Answer("Done.")}
CREATED: Final[Mapping[int, Answer]] = {201: Answer("Done, or so already.")}

LIMIT: Final = Parameter(
    "limit", "How many entries at most; above 1000 counts as 1000.", whole(least=1, most=999_999_999)
)
OFFSET: Final = Parameter("offset", "How many entries are passed over.", whole(least=0, most=999_999_999))
PAGING: Final = (LIMIT, OFFSET)
ISSUER: Final = Parameter(
    "issuer",
    "The issuer of the `sub` that names the person, as lists show it in `iss`; without it, the default issuer.",
    text(least=1),
)
ALBUM: Final = Parameter("album", "The album that the series are taken from.")
INBOX: Final = Parameter("inbox", "Whether the series are taken from the caller's inbox.", {"enum": [True, False, ""]})


def json_answer(about: str, schema: Schema, *, status: int = 200) -> Mapping[int, Answer]:
    """Return the answers of a route that has one, in JSON."""
    return {status: Answer(about, {JSON: schema})}


def listed_answer(about: str, schema: Schema) -> Mapping[int, Answer]:
    """Return the answers of a route that answers with a page of a list of values that obey ``schema``."""
    return {200: Answer(about, {JSON: {"type": "array", "items": schema}}, {"X-Total-Count": COUNT})}
