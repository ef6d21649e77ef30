"""``/users/{user}`` and ``/users/{user}/suspension``: what administrators of the installation do to people.

KHEOPS has none of it.
"""

from typing import Final

from starlette.responses import Response

from kheops.domain.named_people import NamedPerson
from kheops.domain.uses import UseKind
from kheops.web.api.answers import done, json_of, zoned_time
from kheops.web.api.parameters import Query, bounded, form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import DONE, ISSUER, Declaration, Parameter, json_answer
from kheops.web.schema import FLAG, TEXT, record, text

__all__ = ["ERASE", "REASON_LENGTH", "RESTORE", "STANDING", "SUSPEND", "erase", "restore", "standing", "suspend"]

REASON_LENGTH: Final = 500
"""Characters."""

STANDING: Final = Declaration(
    "Tell whether a person is suspended",
    json_answer(
        "Whether they are.",
        record({"issuer": TEXT, "sub": TEXT, "suspended": FLAG}, {"suspended_time": TEXT, "reason": TEXT}),
    ),
    query=(ISSUER,),
)
SUSPEND: Final = Declaration(
    "Suspend a person",
    DONE,
    query=(ISSUER,),
    form=(Parameter("reason", "Why.", text(least=1, most=REASON_LENGTH), required=True),),
    errors=(409,),
)
RESTORE: Final = Declaration("Let a suspended person in again", DONE, query=(ISSUER,))
ERASE: Final = Declaration(
    "Erase a person",
    DONE,
    query=(
        ISSUER,
        Parameter("delete_albums", "Whether albums go that only groups and suspended people would be left in.", FLAG),
    ),
    errors=(409,),
)


async def standing(call: Call) -> Response:
    person = await call.process.administration.standing(call.principal, _named(call, query_of(call)))
    return json_of(
        {
            "issuer": person.iss,
            "sub": person.sub,
            "suspended": person.suspended_at is not None,
            "suspended_time": zoned_time(person.suspended_at),
            "reason": person.reason,
        }
    )


async def suspend(call: Call) -> Response:
    named = _named(call, query_of(call))
    reason = bounded("reason", (await form_of(call)).required("reason"), most=REASON_LENGTH)
    asked = call.use(UseKind.PERSON_SUSPENDED)
    await call.process.administration.suspend(call.principal, named, reason=reason, asked=asked)
    return done()


async def restore(call: Call) -> Response:
    named = _named(call, query_of(call))
    await call.process.administration.restore(call.principal, named, asked=call.use(UseKind.PERSON_RESTORED))
    return done()


async def erase(call: Call) -> Response:
    query = query_of(call)
    await call.process.administration.erase(
        call.principal,
        _named(call, query),
        delete_albums=query.flag("delete_albums"),
        asked=call.use(UseKind.PERSON_ERASED),
    )
    return done()


def _named(call: Call, query: Query) -> NamedPerson:
    return NamedPerson(call.params["user"], query.one("issuer"))
