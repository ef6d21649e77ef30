"""What every reading request has: who asks, from which source, and what they accept."""

from typing import Final

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.media_types import Accept
from kheops.dicomweb.query import AlbumSource, AnySource, InboxSource, QuerySource, parse_query
from kheops.domain.uses import UseKind
from kheops.services.reading import Asked
from kheops.web.call import Call
from kheops.web.declaration import ALBUM, INBOX, Parameter
from kheops.web.schema import Schema, list_of

__all__ = ["ACCEPT", "ANSWER_HEADERS", "DATA_SET", "DICOM_JSON", "SOURCE", "accept", "asked", "asked_from"]

ANSWER_HEADERS: Final = ((b"cache-control", b"private, no-cache"),)
"""For what only this caller may have: kept by nobody else, and asked for again each time."""

SOURCE: Final = (ALBUM, INBOX)
"""Query parameters of every request that reads."""
ACCEPT: Final = Parameter("accept", "What is accepted, for clients that cannot set the header.")
DATA_SET: Final[Schema] = {
    "type": "object",
    "propertyNames": {"pattern": "^[0-9A-F]{8}$"},
    "additionalProperties": {
        "type": "object",
        "properties": {
            "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "Value": {"type": "array"},
            "BulkDataURI": {"type": "string"},
            "InlineBinary": {"type": "string"},
        },
        "required": ["vr"],
        "additionalProperties": False,
    },
}
"""A data set in the DICOM JSON model (PS3.18 annex F)."""
DICOM_JSON: Final = list_of(DATA_SET)

_SOURCES: Final = frozenset({"album", "inbox"})


def asked(call: Call, kind: UseKind) -> Asked:
    """Return the request to read with the source that its query names; other parameters mean nothing here.

    Raises
    ------
    BadQueryParameterError
        If the query is malformed, or names both an album and the inbox, or one of them twice.
    AlbumNotFoundError
        If ``album`` is no album id.
    """
    if not call.request.scope["query_string"]:
        return asked_from(call, kind, AnySource())
    named = [pair for pair in call.query() if pair[0] in _SOURCES]
    # The search parser knows what the two mean, alone and together.
    return asked_from(call, kind, parse_query(Level.STUDY, named).source)


def asked_from(call: Call, kind: UseKind, source: QuerySource) -> Asked:
    """Return the request to read from a source that is known already."""
    use = call.use(kind)
    match source:
        case AnySource():
            return Asked(call.principal, use)
        case InboxSource():
            return Asked(call.principal, use, inbox=True)
        case AlbumSource(album):
            return Asked(call.principal, use, album=album)


def accept(call: Call) -> Accept:
    """Return what the caller accepts, by header or by the ``accept`` parameter (PS3.18 section 8.3.3.1)."""
    parameter = [value for name, value in call.query() if name == "accept"]
    return Accept(call.request.headers.getlist("accept"), parameter)
