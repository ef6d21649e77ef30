"""``/links``."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from kheops.domain.links import (
    LINK_TITLE_LENGTH,
    LINK_USES,
    PASSCODE_LEAST,
    PASSCODE_MOST,
    LinkDraft,
)
from kheops.domain.resources import SeriesRef
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import BadFormParameterError, InvalidIdentifierError
from kheops.ids import StudyInstanceUID, link_id, series_instance_uid, study_instance_uid
from kheops.services.links import LinkView
from kheops.web.api.answers import Json, json_of, listed, zoned_time
from kheops.web.api.parameters import album_of, form_of, query_of, time_of, titled
from kheops.web.call import Call, Form
from kheops.web.declaration import JSON, PAGING, Answer, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import ALBUM_ID, COUNT, FLAG, TEXT, UID, Schema, one_of, record, text, whole

__all__ = [
    "CREATE",
    "GET",
    "LIST",
    "OPEN",
    "REVOKE",
    "WITH_SECRET",
    "create",
    "created_link",
    "get",
    "link_address",
    "list_links",
    "open_link",
    "revoke",
]

_LONGEST_SECRET: Final = 64
"""Characters; what is longer is no secret of ours."""
_LINK_ID: Final = ALBUM_ID
_USER: Final = record({"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT})
_ALWAYS: Final[Mapping[str, Schema]] = {
    "id": _LINK_ID,
    "title": TEXT,
    "scope_type": one_of("album", "selection"),
    "download_permission": FLAG,
    "has_passcode": FLAG,
    "wrong_passcodes": COUNT,
    "uses": COUNT,
    "created_time": TEXT,
    "expiration_time": TEXT,
    "revoked": FLAG,
    "created_by": _USER,
}
_MAYBE: Final[Mapping[str, Schema]] = {
    "album": record({"album_id": ALBUM_ID, "name": TEXT}),
    "max_uses": COUNT,
    "last_used": TEXT,
    "revoke_time": TEXT,
}
_LINK: Final = record(_ALWAYS, _MAYBE)
WITH_SECRET: Final = record({**_ALWAYS, "secret": TEXT, "url": TEXT}, _MAYBE)
_VISIT: Final = record(
    {
        "access_token": TEXT,
        "token_type": one_of("bearer"),
        "expires_in": COUNT,
        "name": TEXT,
        "download_permission": FLAG,
    }
)

CREATE: Final = Declaration(
    "Create a link to an album or to chosen series",
    {201: Answer("The link, whose secret and address are told this once.", {JSON: WITH_SECRET})},
    form=(
        Parameter(
            "title",
            "What a link to a selection is called, also for who opens it.",
            text(least=1, most=LINK_TITLE_LENGTH),
            required=True,
        ),
        Parameter("album", "An album that the caller administers; goes without study and series.", ALBUM_ID),
        Parameter("study", "A study, of which everything is shown that the caller may send now.", UID, repeated=True),
        Parameter("series", "A series, as StudyInstanceUID/SeriesInstanceUID.", repeated=True),
        Parameter(
            "passcode", "What must be known besides the address.", text(least=PASSCODE_LEAST, most=PASSCODE_MOST)
        ),
        Parameter("max_uses", "How often it may be opened.", whole(least=1, most=LINK_USES)),
        Parameter(
            "expiration_time",
            "ISO 8601 with an offset from UTC; in seven days by default, and in KHEOPS_LINK_DAYS at the latest.",
        ),
        Parameter("download_permission", "Whether whole studies and series may be retrieved as files.", FLAG),
    ),
)
LIST: Final = Declaration(
    "List links: the caller's own, or those to an album",
    listed_answer("The links, without their secrets.", _LINK),
    query=(
        Parameter("valid", "Whether those are left out that are revoked, expired or used up.", FLAG),
        Parameter("album", "An album that the caller administers.", ALBUM_ID),
        *PAGING,
    ),
)
GET: Final = Declaration("Read a link", json_answer("The link, without its secret.", _LINK))
REVOKE: Final = Declaration("Revoke a link", json_answer("The link as it is now.", _LINK))
OPEN: Final = Declaration(
    "Open a link",
    json_answer("A token for what the link shows.", _VISIT),
    form=(
        Parameter(
            "secret", "What stands behind # in the link's address.", text(least=1, most=_LONGEST_SECRET), required=True
        ),
        Parameter("passcode", "Where the link has one."),
    ),
    errors=(403, 404, 429),
)


async def create(call: Call) -> Response:
    return await created_link(call, await form_of(call))


async def created_link(call: Call, form: Form) -> Response:
    """Create the link that a form describes with the fields of `CREATE`, and answer with it."""
    draft = _draft(form)
    new = await call.process.links.create(call.principal, draft, asked=call.use(UseKind.LINK_CREATED))
    url = link_address(call.process.settings.public_url, new.view, new.secret)
    return json_of({**_json(new.view), "secret": new.secret, "url": url}, status=201, holds_secret=True)


async def list_links(call: Call) -> Response:
    query = query_of(call)
    album = query.one("album")
    views, total = await call.process.links.list(
        call.principal,
        album=None if album is None else album_of(album),
        only_valid=query.flag("valid"),
        page=query.page(),
    )
    return listed([_json(view) for view in views], total)


async def get(call: Call) -> Response:
    return json_of(_json(await call.process.links.get(call.principal, link_id(call.params["link"]))))


async def revoke(call: Call) -> Response:
    link = link_id(call.params["link"])
    return json_of(_json(await call.process.links.revoke(call.principal, link, asked=call.use(UseKind.LINK_REVOKED))))


async def open_link(call: Call) -> Response:
    form = await form_of(call)
    asked = Use(
        user=User(None, None, None),
        kind=UseKind.LINK_OPENED,
        outcome=Outcome.GRANTED,
        source_address=call.source_address,
        request_id=call.request_id,
    )
    secret, passcode = form.required("secret"), form.one("passcode") or None
    if len(secret) > _LONGEST_SECRET or (passcode is not None and len(passcode) > PASSCODE_MOST):
        raise BadFormParameterError("'secret' or 'passcode' is longer than any.")
    visit = await call.process.links.open(link_id(call.params["link"]), secret, passcode, asked=asked)
    body = {
        "access_token": visit.token,
        "token_type": "bearer",
        "expires_in": int(visit.lifetime.total_seconds()),
        "name": visit.name,
        "download_permission": visit.download,
    }
    return json_of(body, holds_secret=True)


def link_address(public_url: str, view: LinkView, secret: str) -> str:
    """Return the address that is handed out; what stands behind ``#`` no browser sends to anybody."""
    return f"{public_url}/s/{view.record.link}#{secret}"


def _draft(form: Form) -> LinkDraft:
    album = form.one("album")
    studies, series = form.all("study"), form.all("series")
    if (album is None) == (not studies and not series):
        raise BadFormParameterError("Either 'album', or 'study' and 'series', say what the link shows.")
    return LinkDraft(
        title=titled("title", form.required("title"), most=LINK_TITLE_LENGTH),
        album=None if album is None else album_of(album),
        studies=tuple(_study(each) for each in studies),
        series=tuple(_series(each) for each in series),
        passcode=_passcode(form.one("passcode")),
        max_uses=_uses(form.one("max_uses")),
        expires_at=time_of(form, "expiration_time"),
        download=form.flag("download_permission") or False,
    )


def _study(text: str) -> StudyInstanceUID:
    try:
        return study_instance_uid(text)
    except InvalidIdentifierError:
        raise BadFormParameterError("'study' must be a DICOM UID.") from None


def _series(text: str) -> SeriesRef:
    study, _, series = text.partition("/")
    try:
        return SeriesRef(study_instance_uid(study), series_instance_uid(series))
    except InvalidIdentifierError:
        raise BadFormParameterError("'series' must be StudyInstanceUID/SeriesInstanceUID.") from None


def _passcode(text: str | None) -> str | None:
    if text is None or text == "":
        return None
    if not PASSCODE_LEAST <= len(text) <= PASSCODE_MOST:
        raise BadFormParameterError(f"'passcode' must have {PASSCODE_LEAST} to {PASSCODE_MOST} characters.")
    return text


def _uses(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(LINK_USES)) or not 1 <= int(text) <= LINK_USES:
        raise BadFormParameterError(f"'max_uses' must be a whole number from 1 to {LINK_USES}.")
    return int(text)


def _json(view: LinkView) -> Json:
    record = view.record
    user = record.created_by
    return {
        "id": record.link,
        "title": record.title,
        "scope_type": "selection" if record.album_pk is None else "album",
        "album": {"album_id": record.album, "name": record.album_name} if view.names_album and record.album else None,
        "download_permission": record.download,
        "has_passcode": record.has_passcode,
        "wrong_passcodes": record.wrong_passcodes,
        "max_uses": record.max_uses,
        "uses": record.uses,
        "created_time": zoned_time(record.created_at),
        "expiration_time": zoned_time(record.expires_at),
        "last_used": zoned_time(record.last_used_at),
        "revoke_time": zoned_time(record.revoked_at),
        "revoked": record.revoked_at is not None,
        "created_by": {"email": user.email, "name": user.name, "iss": user.iss, "sub": user.sub},
    }
