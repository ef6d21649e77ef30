"""JSON answers of the control plane, with KHEOPS's field names."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.responses import JSONResponse, Response

from kheops.storage.members import MemberRecord
from kheops.storage.people import UserRecord
from kheops.web.schema import COUNT, FLAG, TEXT, Schema, list_of, record

__all__ = [
    "CONTENTS",
    "MEMBER",
    "PERSON",
    "Json",
    "created",
    "done",
    "json_of",
    "listed",
    "local_time",
    "member_json",
    "person_json",
    "zoned_time",
]

Json = Mapping[str, object]
"""A JSON object; fields that are ``None`` are left out, as KHEOPS does."""

PERSON: Final[Schema] = record({"sub": TEXT}, {"email": TEXT, "name": TEXT})
"""What `person_json` returns."""
MEMBER: Final[Schema] = record({"iss": TEXT, "sub": TEXT, "is_admin": FLAG}, {"email": TEXT, "name": TEXT})
"""What `member_json` returns."""
CONTENTS: Final[Mapping[str, Schema]] = {
    "modalities": list_of(TEXT),
    "number_of_studies": COUNT,
    "number_of_series": COUNT,
    "number_of_instances": COUNT,
}
"""Members that tell what an album or inbox has."""

_CACHE: Final = {"Cache-Control": "private, no-cache"}


def json_of(value: Json, *, status: int = 200, holds_secret: bool = False) -> Response:
    """Answer with an object; one that holds a secret may be kept nowhere."""
    headers = {"Cache-Control": "no-store"} if holds_secret else _CACHE
    return JSONResponse(_without_none(value), status, headers)


def listed(values: Sequence[Json], total: int) -> Response:
    """Answer with a page of a list and, in ``X-Total-Count``, how long the whole list is."""
    headers = {**_CACHE, "X-Total-Count": str(total)}
    return JSONResponse([_without_none(value) for value in values], headers=headers)


def created() -> Response:
    """Answer 201 without a body."""
    return Response(status_code=201, headers=_CACHE)


def done() -> Response:
    """Answer 204."""
    return Response(status_code=204, headers=_CACHE)


def person_json(person: UserRecord) -> Json:
    """Return a person as KHEOPS's UserResponse; an address that nobody vouches for is left out."""
    email = person.email if person.email_verified else None
    return {"email": email, "name": person.name, "sub": person.sub}


def member_json(member: MemberRecord) -> Json:
    """Return a member as KHEOPS's UserResponse."""
    return {
        "email": member.email,
        "name": member.name,
        "iss": member.iss,
        "sub": member.sub,
        "is_admin": member.is_admin,
    }


def local_time(at: datetime) -> str:
    """Return a time as KHEOPS writes those of albums: ISO 8601 in UTC, without a zone."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat()


def zoned_time(at: datetime | None) -> str | None:
    """Return a time as KHEOPS writes those of capability tokens: ISO 8601 in UTC, with ``Z``."""
    return None if at is None else f"{local_time(at)}Z"


def _without_none(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value]
    return value
