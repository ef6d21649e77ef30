"""``/audit``: who did what to which objects, for administrators of the installation. KHEOPS has none of it.

Reading it is in it, too: as `kheops.domain.uses.UseKind.AUDIT_READ`, with whom and what was asked about.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from starlette.responses import Response

from kheops.domain.named_people import NamedPerson
from kheops.domain.uses import Outcome, UseFilter, UseKind
from kheops.errors import BadQueryParameterError, InvalidIdentifierError
from kheops.ids import album_id, series_instance_uid, study_instance_uid
from kheops.storage.audit_search import RecordedUse
from kheops.web.api.answers import Json, listed, zoned_time
from kheops.web.api.parameters import Query, query_of
from kheops.web.call import Call
from kheops.web.declaration import ISSUER, PAGING, Declaration, Parameter, listed_answer
from kheops.web.schema import ALBUM_ID, COUNT, TEXT, UID, list_of, one_of, record, text, whole

__all__ = ["LIST", "list_uses"]

_T = TypeVar("_T")

_DIGITS: Final = 18
"""Of a number of the trail, at most: PostgreSQL's bigint takes them."""

LIST: Final = Declaration(
    "List the audit trail, the latest use first",
    listed_answer(
        "The uses; fewer than asked for where they name very many objects. X-Total-Count is 10000 at most.",
        record(
            {
                "number": COUNT,
                "time": TEXT,
                "last_time": TEXT,
                "uses": COUNT,
                # Open: a newer release may have written to the same trail.
                "kind": TEXT,
                "outcome": one_of(*Outcome),
                "study_uids": list_of(UID),
                "series_uids": list_of(UID),
                "instance_uids": list_of(UID),
                "request_id": TEXT,
            },
            {
                "issuer": TEXT,
                "sub": TEXT,
                "acting_party": TEXT,
                "token_id": TEXT,
                "subject": TEXT,
                "reason": TEXT,
                "source_address": TEXT,
            },
        ),
    ),
    query=(
        Parameter("user", "Who did it: a verified e-mail address or a sub.", text(least=1)),
        ISSUER,
        Parameter(
            "album",
            "The album that it was about. What was stored or found in it has its study and series instead.",
            ALBUM_ID,
        ),
        Parameter("study", "A study that it was done to.", UID),
        Parameter("series", "A series that it was done to.", UID),
        Parameter("kind", "What was done.", one_of(*UseKind), repeated=True),
        Parameter("outcome", "How it ended.", one_of(*Outcome)),
        Parameter("from", "The earliest time, ISO 8601 with an offset."),
        Parameter("to", "The time before which it was, ISO 8601 with an offset."),
        Parameter(
            "after", "The number of the use that the page comes after; that is faster than an offset.", whole(least=1)
        ),
        *PAGING,
    ),
)


async def list_uses(call: Call) -> Response:
    query = query_of(call)
    user, issuer = query.one("user"), query.one("issuer")
    if user is None and issuer is not None:
        raise BadQueryParameterError("'issuer' goes with 'user' only.")
    if user is not None and not user.strip():
        raise BadQueryParameterError("'user' must not be blank.")
    named = None if user is None else NamedPerson(user, issuer)
    found, total, wanted = await call.process.audit_reading.list(call.principal, _filter(query), named, query.page())
    about = " ".join(each for each in (wanted.album, *(wanted.person or ())) if each is not None)
    call.asked = replace(
        call.use(UseKind.AUDIT_READ),
        subject=about or None,
        studies=() if wanted.study is None else (wanted.study,),
        series=() if wanted.series is None else (wanted.series,),
    )
    return listed([_json(each) for each in found], total)


def _filter(query: Query) -> UseFilter:
    return UseFilter(
        album=_value(query, "album", album_id, "the id of an album"),
        study=_value(query, "study", study_instance_uid, "a DICOM UID"),
        series=_value(query, "series", series_instance_uid, "a DICOM UID"),
        kinds=frozenset(_word(UseKind, "kind", each) for each in query.all("kind") or ()),
        outcome=_value(query, "outcome", lambda each: _word(Outcome, "outcome", each), ""),
        since=_value(query, "from", _moment, "an ISO 8601 date and time with an offset, such as Z or +01:00"),
        before=_value(query, "to", _moment, "an ISO 8601 date and time with an offset, such as Z or +01:00"),
        after=_value(query, "after", _number, "the number of a use"),
    )


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= _DIGITS):
        raise ValueError("no number")
    return int(given)


def _value(query: Query, name: str, read: Callable[[str], _T], what: str) -> _T | None:
    given = query.one(name)
    if given is None:
        return None
    try:
        return read(given)
    except (InvalidIdentifierError, ValueError, OverflowError):
        raise BadQueryParameterError(f"'{name}' must be {what}.") from None


def _moment(given: str) -> datetime:
    at = datetime.fromisoformat(given)
    if at.tzinfo is None:
        raise ValueError("no offset")
    return at.astimezone(UTC)


def _word(words: Callable[[str], _T], name: str, given: str) -> _T:
    try:
        return words(given)
    except ValueError:
        raise BadQueryParameterError(f"'{name}' is none of the words that it may be.") from None


def _json(found: RecordedUse) -> Json:
    return {
        "number": found.number,
        "time": zoned_time(found.at),
        "last_time": zoned_time(found.last_at),
        "uses": found.uses,
        "kind": found.kind,
        "outcome": found.outcome.value,
        "issuer": found.user.iss,
        "sub": found.user.sub,
        "acting_party": found.user.acting_party,
        "token_id": found.user.token_id,
        "subject": found.subject,
        "reason": found.reason,
        "study_uids": list(found.studies),
        "series_uids": list(found.series),
        "instance_uids": list(found.instances),
        "source_address": found.source_address,
        "request_id": found.request_id,
    }
