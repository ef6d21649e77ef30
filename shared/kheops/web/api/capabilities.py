"""``/capabilities``."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import MAXYEAR, datetime, timedelta
from typing import Final

from starlette.responses import Response

from kheops.domain.capabilities import CAPABILITY_TITLE_LENGTH, CapabilityDraft, CapabilityScope
from kheops.domain.principals import CapabilityPermissions
from kheops.domain.uses import UseKind
from kheops.errors import BadFormParameterError, BadQueryParameterError
from kheops.ids import AlbumId, capability_id
from kheops.services.capabilities import CapabilityView
from kheops.storage.capabilities import CapabilityUser
from kheops.web.api.answers import Json, json_of, listed, zoned_time
from kheops.web.api.parameters import album_of, form_of, query_of, time_of, titled
from kheops.web.call import Call, Form
from kheops.web.declaration import ISSUER, JSON, PAGING, Answer, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import ALBUM_ID, CAPABILITY_ID, FLAG, TEXT, Schema, one_of, record, text

__all__ = ["CREATE", "GET", "LIST", "REVOKE", "create", "get", "list_capabilities", "revoke"]

_USER: Final = record({"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT})
_ALWAYS: Final[Mapping[str, Schema]] = {
    "id": CAPABILITY_ID,
    "token_type": one_of("Bearer"),
    "title": TEXT,
    "scope_type": one_of(*CapabilityScope),
    "read_permission": FLAG,
    "write_permission": FLAG,
    "appropriate_permission": FLAG,
    "download_permission": FLAG,
    "issued_at_time": TEXT,
    "not_before_time": TEXT,
    "expiration_time": TEXT,
    "revoked": FLAG,
    "created_by": _USER,
}
_MAYBE: Final[Mapping[str, Schema]] = {
    "album": record({"album_id": ALBUM_ID, "name": TEXT}),
    "last_used": TEXT,
    "revoke_time": TEXT,
    "revoked_by": _USER,
}
_CAPABILITY: Final = record(_ALWAYS, _MAYBE)
_WITH_SECRET: Final = record({**_ALWAYS, "secret": TEXT, "access_token": TEXT}, _MAYBE)

CREATE: Final = Declaration(
    "Create a capability token",
    {201: Answer("The token, whose secret is told this once.", {JSON: _WITH_SECRET})},
    form=(
        Parameter("title", "", text(least=1, most=CAPABILITY_TITLE_LENGTH), required=True),
        Parameter("scope_type", "", one_of(*CapabilityScope), required=True),
        Parameter("album", "The album of a token of album scope.", ALBUM_ID),
        Parameter("read_permission", "", FLAG),
        Parameter("write_permission", "", FLAG),
        Parameter("appropriate_permission", "Whether it may pass series on; needs read_permission.", FLAG),
        Parameter("download_permission", "Needs read_permission.", FLAG),
        Parameter(
            "expiration_time",
            "ISO 8601 with an offset from UTC; three months from now by default, and a year at most by default.",
        ),
        Parameter("not_before_time", "ISO 8601 with an offset from UTC; now by default."),
    ),
)
LIST: Final = Declaration(
    "List capability tokens: the caller's own, or those of an album",
    listed_answer("The tokens.", _CAPABILITY),
    query=(
        Parameter("valid", "Whether only those are listed that are good now or will be.", FLAG),
        Parameter("album", "An album that the caller administers.", ALBUM_ID),
        Parameter("user", "Of whom the tokens of the album are; goes with album only."),
        ISSUER,
        *PAGING,
    ),
)
GET: Final = Declaration("Read a capability token", json_answer("The token, without its secret.", _CAPABILITY))
REVOKE: Final = Declaration("Revoke a capability token", json_answer("The token as it is now.", _CAPABILITY))

_DEFAULT_MONTHS: Final = 3


async def create(call: Call) -> Response:
    longest = timedelta(days=call.process.settings.capability_days)
    draft = _draft(await form_of(call), call.process.clock(), longest)
    use = call.use(UseKind.CAPABILITY_CREATED)
    new = await call.process.capabilities.create(call.principal, draft, asked=use)
    body = {**_json(new.view), "secret": new.secret, "access_token": new.secret}
    return json_of(body, status=201, holds_secret=True)


async def list_capabilities(call: Call) -> Response:
    query = query_of(call)
    album, user = query.one("album"), query.one("user")
    if album is None and user is not None:
        raise BadQueryParameterError("'user' goes with 'album' only.")
    if user is None and query.one("issuer") is not None:
        raise BadQueryParameterError("'issuer' goes with 'user' only.")
    if album is None:
        views, total = await call.process.capabilities.list(
            call.principal, only_valid=query.flag("valid"), page=query.page()
        )
    else:
        views, total = await call.process.capabilities.list_of_album(
            call.principal,
            album_of(album),
            user=user,
            issuer=query.one("issuer"),
            only_valid=query.flag("valid"),
            page=query.page(),
        )
    return listed([_json(view) for view in views], total)


async def get(call: Call) -> Response:
    capability = capability_id(call.params["capability"])
    return json_of(_json(await call.process.capabilities.get(call.principal, capability)))


async def revoke(call: Call) -> Response:
    capability = capability_id(call.params["capability"])
    use = call.use(UseKind.CAPABILITY_REVOKED)
    return json_of(_json(await call.process.capabilities.revoke(call.principal, capability, asked=use)))


def _draft(form: Form, at: datetime, longest: timedelta) -> CapabilityDraft:
    title = titled("title", form.required("title"), most=CAPABILITY_TITLE_LENGTH)
    permissions = CapabilityPermissions(
        read=form.flag("read_permission") or False,
        write=form.flag("write_permission") or False,
        appropriate=form.flag("appropriate_permission") or False,
        download=form.flag("download_permission") or False,
    )
    if (permissions.appropriate or permissions.download) and not permissions.read:
        raise BadFormParameterError("'appropriate_permission' and 'download_permission' need 'read_permission'.")
    not_before = time_of(form, "not_before_time") or at
    expires_at = time_of(form, "expiration_time") or min(_months_later(max(at, not_before)), at + longest)
    if expires_at <= max(at, not_before):
        raise BadFormParameterError("'expiration_time' must lie in the future and after 'not_before_time'.")
    album = _scope(form)
    return CapabilityDraft(
        title=title, album=album, permissions=permissions, not_before=not_before, expires_at=expires_at
    )


def _scope(form: Form) -> AlbumId | None:
    album = form.one("album")
    match form.required("scope_type"):
        case CapabilityScope.USER:
            if album is not None:
                raise BadFormParameterError("'album' goes with 'scope_type=album' only.")
            return None
        case CapabilityScope.ALBUM:
            return album_of(form.required("album"))
        case _:
            raise BadFormParameterError("'scope_type' must be user or album.")


def _months_later(at: datetime) -> datetime:
    years, month = divmod(at.month - 1 + _DEFAULT_MONTHS, 12)
    year, month = at.year + years, month + 1
    if year > MAXYEAR:
        raise BadFormParameterError("'expiration_time' would lie after the year 9999.")
    return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))


def _json(view: CapabilityView) -> Json:
    """Return a token as KHEOPS's CapabilityResponse, without its secret."""
    record = view.record
    album = {"album_id": record.album, "name": record.album_name} if view.names_album else None
    return {
        "id": record.capability,
        "token_type": "Bearer",
        "title": record.title,
        "scope_type": record.scope.value,
        "album": album,
        "read_permission": record.permissions.read,
        "write_permission": record.permissions.write,
        "appropriate_permission": record.permissions.appropriate,
        "download_permission": record.permissions.download,
        "issued_at_time": zoned_time(record.issued_at),
        "not_before_time": zoned_time(record.not_before),
        "expiration_time": zoned_time(record.expires_at),
        "last_used": zoned_time(record.last_used_at),
        "revoke_time": zoned_time(record.revoked_at),
        "revoked": record.revoked_at is not None,
        "created_by": _user_json(record.created_by),
        "revoked_by": None if record.revoked_by is None else _user_json(record.revoked_by),
    }


def _user_json(user: CapabilityUser) -> Json:
    return {"email": user.email, "name": user.name, "iss": user.iss, "sub": user.sub}
