"""``/register``, ``/users`` and ``/inboxinfo``."""

from starlette.responses import Response

from kheops.errors import BadFormParameterError, BadQueryParameterError, InvalidTokenError, UserNotFoundError
from kheops.web.api.answers import done, json_of, person_json
from kheops.web.api.parameters import form_of, query_of
from kheops.web.call import Call

__all__ = ["find_user", "inbox_info", "register"]


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
    reference = query_of(call, "reference").one("reference")
    if reference is None or not reference.strip():
        raise BadQueryParameterError("'reference' is required: an e-mail address or a sub.")
    try:
        return json_of(person_json(await call.process.albums.person(call.principal, reference)))
    except UserNotFoundError:
        return done()


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
