"""The sharing verbs below ``/studies``: PUT and DELETE of a study or series, in inboxes and albums."""

from typing import Final

from starlette.responses import Response

from kheops.dicomweb.resources import InAlbum, OfUser, Series, Study
from kheops.domain.uses import UseKind
from kheops.errors import AlbumNotFoundError, BadQueryParameterError, BadRequestError, InvalidIdentifierError
from kheops.ids import album_id
from kheops.services.sharing import NamedSource, Selection
from kheops.web.call import Call
from kheops.web.declaration import ALBUM, CREATED, DONE, INBOX, ISSUER, Declaration, Parameter
from kheops.web.schema import one_of

__all__ = [
    "PUT_INTO_ALBUM",
    "PUT_INTO_INBOX",
    "REMOVE_FROM_ALBUM",
    "REMOVE_FROM_INBOX",
    "SEND_TO_USER",
    "put_into_album",
    "put_into_inbox",
    "remove_from_album",
    "remove_from_inbox",
    "selection_of",
    "send_to_user",
    "source_of",
]

_SOURCE: Final = (ALBUM, INBOX)

PUT_INTO_INBOX: Final = Declaration("Take series into the caller's inbox", CREATED, query=_SOURCE)
PUT_INTO_ALBUM: Final = Declaration("Put series into an album", CREATED, query=_SOURCE)
SEND_TO_USER: Final = Declaration("Send series to a person's inbox", CREATED, query=(*_SOURCE, ISSUER))
_ADMIN_ACTION: Final = Parameter(
    "Admin-Action", "With it series are deleted for good; for administrators.", one_of("permanent")
)
REMOVE_FROM_INBOX: Final = Declaration(
    "Remove series from the caller's inbox; with 'Admin-Action: permanent', delete them for good",
    DONE,
    headers=(_ADMIN_ACTION,),
    errors=(409,),
)
REMOVE_FROM_ALBUM: Final = Declaration(
    "Remove series from an album; with 'Admin-Action: permanent', delete them for good",
    DONE,
    headers=(_ADMIN_ACTION,),
    errors=(409,),
)


async def put_into_inbox(call: Call, resource: Study | Series) -> Response:
    """Answer ``PUT /studies/{S}[/series/{R}]``: take into the own inbox."""
    await call.process.sharing.put_into_inbox(
        call.principal, selection_of(resource), source=source_of(call), asked=call.use(UseKind.SHARE)
    )
    return Response(status_code=201)


async def put_into_album(call: Call, resource: InAlbum) -> Response:
    """Answer ``PUT /studies/{S}[/series/{R}]/albums/{A}``."""
    await call.process.sharing.put_into_album(
        call.principal,
        selection_of(resource.of),
        resource.album,
        source=source_of(call),
        asked=call.use(UseKind.SHARE),
    )
    return Response(status_code=201)


async def send_to_user(call: Call, resource: OfUser) -> Response:
    """Answer ``PUT /studies/{S}[/series/{R}]/users/{U}``."""
    await call.process.sharing.send_to_user(
        call.principal,
        selection_of(resource.of),
        resource.user,
        source=source_of(call),
        asked=call.use(UseKind.SHARE),
        issuer=dict(call.query()).get("issuer"),
    )
    return Response(status_code=201)


async def remove_from_inbox(call: Call, resource: Study | Series) -> Response:
    """Answer ``DELETE /studies/{S}[/series/{R}]``: out of the own inbox, or for good."""
    _no_query(call)
    if _is_permanent(call):
        await call.process.permanent_deletion.delete(
            call.principal, selection_of(resource), album=None, asked=call.use(UseKind.PURGE)
        )
        return Response(status_code=204)
    await call.process.sharing.remove_from_inbox(
        call.principal, selection_of(resource), asked=call.use(UseKind.REMOVE)
    )
    return Response(status_code=204)


async def remove_from_album(call: Call, resource: InAlbum) -> Response:
    """Answer ``DELETE /studies/{S}[/series/{R}]/albums/{A}``: out of the album, or for good."""
    _no_query(call)
    if _is_permanent(call):
        await call.process.permanent_deletion.delete(
            call.principal, selection_of(resource.of), album=resource.album, asked=call.use(UseKind.PURGE)
        )
        return Response(status_code=204)
    await call.process.sharing.remove_from_album(
        call.principal, selection_of(resource.of), resource.album, asked=call.use(UseKind.REMOVE)
    )
    return Response(status_code=204)


def selection_of(of: Study | Series) -> Selection:
    """Return what a path names, for what is done to series."""
    return Selection(of.study_instance_uid, of.series_instance_uid if isinstance(of, Series) else None)


def source_of(call: Call) -> NamedSource:
    """Return where the series are to come from: ``album={A}``, ``inbox`` or neither."""
    pairs = call.query()
    given = dict(pairs)
    if len(given) != len(pairs):
        raise BadQueryParameterError("A parameter is given more than once.")
    known = {"album", "inbox"} if call.declared is None else {each.name for each in call.declared.query}
    if given.keys() - known:
        names = ", ".join(f"'{name}'" for name in sorted(known))
        raise BadQueryParameterError(f"The parameters known here are: {names}.")
    if given.get("inbox", "").lower() not in {"", "true", "false"}:
        raise BadQueryParameterError("'inbox' must be true or false.")
    inbox = "inbox" in given and given["inbox"].lower() != "false"
    if "album" not in given:
        return NamedSource(inbox=inbox)
    if inbox:
        raise BadQueryParameterError("Use either 'album' or 'inbox'.")
    try:
        return NamedSource(album=album_id(given["album"]))
    except InvalidIdentifierError:
        # As for an id that nothing has: what cannot exist does not exist.
        raise AlbumNotFoundError from None


def _is_permanent(call: Call) -> bool:
    """Return whether a deletion is to be for good, as KHEOPS's header says; its password means nothing."""
    actions = call.request.headers.getlist("admin-action")
    if not actions:
        return False
    if actions != ["permanent"]:
        raise BadRequestError("'Admin-Action' must be permanent.")
    return True


def _no_query(call: Call) -> None:
    if call.query():
        raise BadQueryParameterError("No parameter is known here.")
