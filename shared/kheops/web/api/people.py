"""``/register``, ``/users`` and ``/inboxinfo``."""

from typing import Final

from starlette.responses import Response

from kheops.errors import (
    BadFormParameterError,
    BadQueryParameterError,
    InvalidIdentifierError,
    InvalidTokenError,
    UserNotFoundError,
)
from kheops.ids import study_instance_uid
from kheops.services.directory import Acquaintance, Whereabouts
from kheops.web.api.answers import CONTENTS, PERSON, Json, done, json_of, listed, person_json
from kheops.web.api.parameters import Query, album_of, form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import ISSUER, JSON, PAGING, Answer, Declaration, Parameter, json_answer
from kheops.web.schema import ALBUM_ID, FLAG, TEXT, UID, either, list_of, record, text

__all__ = ["FIND", "INBOX", "REGISTER", "find_user", "inbox_info", "register"]

_SHORTEST_SEARCH: Final = 3
"""Characters, as in KHEOPS."""
_ACQUAINTANCE: Final = record({"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT})
_FOUND: Final = record(
    {"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT, "album_access": FLAG, "study_access": FLAG}
)

REGISTER: Final = Declaration(
    "Make the person of an access token known",
    json_answer("The person.", PERSON),
    form=(Parameter("access_token", "", required=True),),
)
FIND: Final = Declaration(
    "Find a person by an exact reference, or search among people with whom the caller has to do",
    {
        200: Answer(
            "The person, or for a search those who are found.",
            {JSON: either(_FOUND, list_of(_ACQUAINTANCE))},
        ),
        204: Answer("Nobody is found."),
    },
    query=(
        Parameter("reference", "An e-mail address or a sub; this or search."),
        ISSUER,
        Parameter("search", "A part of a name or e-mail address.", text(least=_SHORTEST_SEARCH)),
        Parameter("album", "An album, whose members are searched or told by album_access.", ALBUM_ID),
        Parameter("studyInstanceUID", "A study, whose readers are searched or told by study_access.", UID),
        *PAGING,
    ),
)
INBOX: Final = Declaration("Count what is in the caller's inbox", json_answer("The counts.", record(CONTENTS)))


async def register(call: Call) -> Response:
    token = (await form_of(call)).required("access_token")
    try:
        verified = await call.process.verifier.verify(token)
    except InvalidTokenError:
        verified = None
    if verified is None:
        raise BadFormParameterError("'access_token' is not a good access token of a trusted issuer.")
    return json_of(person_json(await call.process.registry.register(token, verified, request_id=call.request_id)))


async def find_user(call: Call) -> Response:
    query = query_of(call)
    reference, search = query.one("reference"), query.one("search")
    whereabouts = _whereabouts(query)
    if reference is None and query.one("issuer") is not None:
        raise BadQueryParameterError("'issuer' goes with 'reference' only.")
    if search is not None and reference is None:
        return await _search(call, search, whereabouts, query)
    if search is not None or reference is None or not reference.strip():
        raise BadQueryParameterError(
            "Either 'reference', an e-mail address or a sub, or 'search', a part of a name, is required."
        )
    if query.one("limit") is not None or query.one("offset") is not None:
        raise BadQueryParameterError("'limit' and 'offset' go with 'search' only.")
    try:
        found = await call.process.directory.find(call.principal, reference, whereabouts, issuer=query.one("issuer"))
    except UserNotFoundError:
        return done()
    access = {"album_access": found.album_access, "study_access": found.study_access}
    return json_of({**_acquaintance_json(found.person), **access})


async def _search(call: Call, wanted: str, whereabouts: Whereabouts, query: Query) -> Response:
    if len(wanted.strip()) < _SHORTEST_SEARCH:
        raise BadQueryParameterError(f"'search' must have {_SHORTEST_SEARCH} characters at least.")
    found, total = await call.process.directory.search(call.principal, wanted.strip(), whereabouts, query.page())
    answer = listed([_acquaintance_json(each) for each in found], total)
    if not found:
        answer = done()
        answer.headers["X-Total-Count"] = str(total)
    return answer


def _acquaintance_json(person: Acquaintance) -> Json:
    return {"email": person.email, "name": person.name, "iss": person.iss, "sub": person.sub}


def _whereabouts(query: Query) -> Whereabouts:
    album, study = query.one("album"), query.one("studyInstanceUID")
    try:
        return Whereabouts(
            album=None if album is None else album_of(album),
            study=None if study is None else study_instance_uid(study),
        )
    except InvalidIdentifierError:
        raise BadQueryParameterError("'studyInstanceUID' must be a DICOM UID.") from None


async def inbox_info(call: Call) -> Response:
    query_of(call)
    contents = await call.process.albums.inbox(call.principal)
    return json_of(
        {
            "modalities": list(contents.modalities),
            "number_of_studies": contents.number_of_studies,
            "number_of_series": contents.number_of_series,
            "number_of_instances": contents.number_of_instances,
        }
    )
