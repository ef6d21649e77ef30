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
from kheops.services.directory import Whereabouts
from kheops.web.api.answers import done, json_of, listed, person_json
from kheops.web.api.parameters import Query, album_of, form_of, query_of
from kheops.web.call import Call

__all__ = ["find_user", "inbox_info", "register"]

_SHORTEST_SEARCH: Final = 3
"""Characters, as in KHEOPS."""


async def register(call: Call) -> Response:
    token = (await form_of(call, "access_token")).required("access_token")
    try:
        verified = await call.process.verifier.verify(token)
    except InvalidTokenError:
        verified = None
    if verified is None:
        raise BadFormParameterError("'access_token' is not a good access token of a trusted issuer.")
    return json_of(person_json(await call.process.registry.register(token, verified, request_id=call.request_id)))


async def find_user(call: Call) -> Response:
    query = query_of(call, "reference", "search", "album", "studyInstanceUID", "limit", "offset")
    reference, search = query.one("reference"), query.one("search")
    whereabouts = _whereabouts(query)
    if search is not None and reference is None:
        return await _search(call, search, whereabouts, query)
    if search is not None or reference is None or not reference.strip():
        raise BadQueryParameterError(
            "Either 'reference', an e-mail address or a sub, or 'search', a part of a name, is required."
        )
    if query.one("limit") is not None or query.one("offset") is not None:
        raise BadQueryParameterError("'limit' and 'offset' go with 'search' only.")
    try:
        found = await call.process.directory.find(call.principal, reference, whereabouts)
    except UserNotFoundError:
        return done()
    access = {"album_access": found.album_access, "study_access": found.study_access}
    return json_of({**person_json(found.person), **access})


async def _search(call: Call, wanted: str, whereabouts: Whereabouts, query: Query) -> Response:
    if len(wanted.strip()) < _SHORTEST_SEARCH:
        raise BadQueryParameterError(f"'search' must have {_SHORTEST_SEARCH} characters at least.")
    found, total = await call.process.directory.search(call.principal, wanted.strip(), whereabouts, query.page())
    answer = listed([{"email": each.email, "name": each.name, "sub": each.sub} for each in found], total)
    if not found:
        answer = done()
        answer.headers["X-Total-Count"] = str(total)
    return answer


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
