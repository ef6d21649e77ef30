"""``/albums/{album}/invitations``."""

from typing import Final

from starlette.responses import Response

from kheops.domain.uses import UseKind
from kheops.ids import invitation_id
from kheops.storage.invitations import InvitationRecord
from kheops.web.api.answers import Json, done, json_of, listed, zoned_time
from kheops.web.api.parameters import album_of, form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import DONE, PAGING, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import ALBUM_ID, FLAG, TEXT, record, text

__all__ = ["CREATE", "LIST", "REVOKE", "create", "list_invitations", "revoke"]

_INVITATION: Final = record(
    {
        "id": ALBUM_ID,
        "email": TEXT,
        "created_time": TEXT,
        "expiration_time": TEXT,
        "accepted": FLAG,
        "revoked": FLAG,
        "invited_by": record({"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT}),
    },
    {"accept_time": TEXT, "revoke_time": TEXT},
)

CREATE: Final = Declaration(
    "Invite somebody to an album by e-mail address",
    json_answer("The invitation, whose mail is on its way.", _INVITATION, status=201),
    form=(
        Parameter("email", "Whoever logs in with it becomes a plain member.", text(least=3, most=254), required=True),
    ),
    errors=(409, 429),
)
LIST: Final = Declaration(
    "List an album's invitations: to administrators all, to others their own",
    listed_answer("The invitations.", _INVITATION),
    query=PAGING,
)
REVOKE: Final = Declaration("Revoke an invitation", DONE)


async def create(call: Call) -> Response:
    email = (await form_of(call)).required("email")
    asked = call.use(UseKind.INVITATION_CREATED)
    made = await call.process.invitations.create(call.principal, album_of(call.params["album"]), email, asked=asked)
    return json_of(_json(made), status=201)


async def list_invitations(call: Call) -> Response:
    page = query_of(call).page()
    found, total = await call.process.invitations.list(call.principal, album_of(call.params["album"]), page)
    return listed([_json(each) for each in found], total)


async def revoke(call: Call) -> Response:
    query_of(call)
    await call.process.invitations.revoke(
        call.principal,
        album_of(call.params["album"]),
        invitation_id(call.params["invitation"]),
        asked=call.use(UseKind.INVITATION_REVOKED),
    )
    return done()


def _json(record: InvitationRecord) -> Json:
    user = record.invited_by
    return {
        "id": record.invitation,
        "email": record.email,
        "created_time": zoned_time(record.created_at),
        "expiration_time": zoned_time(record.expires_at),
        "accepted": record.accepted_at is not None,
        "accept_time": zoned_time(record.accepted_at),
        "revoked": record.revoked_at is not None,
        "revoke_time": zoned_time(record.revoked_at),
        "invited_by": {"email": user.email, "name": user.name, "iss": user.iss, "sub": user.sub},
    }
