"""``/albums``: creating, listing, reading, editing, deleting, favourites."""

import re
from dataclasses import fields
from datetime import date
from typing import Final

from starlette.responses import Response

from kheops.domain.albums import (
    ALBUM_DESCRIPTION_LENGTH,
    ALBUM_NAME_LENGTH,
    ALBUM_SORTS,
    AlbumDraft,
    AlbumEdit,
    AlbumFilter,
    AlbumSort,
    Days,
    FlagChanges,
    Page,
)
from kheops.domain.resources import AlbumFlags
from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError
from kheops.ids import AlbumId
from kheops.services.albums import AlbumView
from kheops.web.api.answers import CONTENTS, MEMBER, Json, done, json_of, listed, local_time, member_json
from kheops.web.api.parameters import Query, album_of, bounded, form_of, query_of, titled
from kheops.web.call import Call, Form
from kheops.web.declaration import DONE, PAGING, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import ALBUM_ID, COUNT, FLAG, TEXT, list_of, one_of, record, text

__all__ = [
    "CREATE",
    "DELETE",
    "EDIT",
    "GET",
    "LIST",
    "MARK_FAVORITE",
    "UNMARK_FAVORITE",
    "create",
    "delete",
    "edit",
    "get",
    "list_albums",
    "mark_favorite",
    "unmark_favorite",
]

_FLAGS: Final = {
    "addUser": "add_user",
    "downloadSeries": "download_series",
    "sendSeries": "send_series",
    "deleteSeries": "delete_series",
    "addSeries": "add_series",
    "writeComments": "write_comments",
}
_ALBUM: Final = record(
    {"album_id": ALBUM_ID, "name": TEXT, "description": TEXT, **CONTENTS},
    # What somebody who only has a token for the album does not see.
    {
        **dict.fromkeys((each.name for each in fields(AlbumFlags)), FLAG),
        "created_time": TEXT,
        "last_event_time": TEXT,
        "number_of_users": COUNT,
        "number_of_comments": COUNT,
        "users": list_of(MEMBER),
        "is_admin": FLAG,
        "is_favorite": FLAG,
        "notification_new_series": FLAG,
        "notification_new_comment": FLAG,
    },
)
_DAYS: Final = text(pattern="^([0-9]{8}|[0-9]{8}-|-[0-9]{8}|[0-9]{8}-[0-9]{8})?$")
_NAME: Final = text(least=1, most=ALBUM_NAME_LENGTH)
_DESCRIPTION: Final = text(most=ALBUM_DESCRIPTION_LENGTH)
_MAY: Final = tuple(Parameter(name, "Whether plain members may do so.", FLAG) for name in _FLAGS)

CREATE: Final = Declaration(
    "Create an album",
    json_answer("The album.", _ALBUM, status=201),
    form=(Parameter("name", "", _NAME, required=True), Parameter("description", "", _DESCRIPTION), *_MAY),
)
LIST: Final = Declaration(
    "List the caller's albums",
    listed_answer("The albums.", _ALBUM),
    query=(
        Parameter("name", "Which the name is like; * and ? stand for any characters and for one."),
        Parameter("fuzzymatching", "Whether names match that sound alike.", FLAG),
        Parameter("created_time", "A day or a range of days.", _DAYS),
        Parameter("last_event_time", "A day or a range of days.", _DAYS),
        Parameter("modality", "That one of its series has."),
        Parameter("favorite", "Whether only favourites are listed.", FLAG),
        Parameter("canAddSeries", "Whether only those are listed to which the caller may add series.", FLAG),
        Parameter("canCreateCapabilityToken", "Whether only those are listed which the caller administers.", FLAG),
        *PAGING,
        Parameter(
            "sort",
            "What the list is sorted by; with - before it, in descending order.",
            one_of(*ALBUM_SORTS, *(f"-{key}" for key in ALBUM_SORTS)),
        ),
    ),
)
GET: Final = Declaration(
    "Read an album",
    json_answer("The album.", _ALBUM),
    query=(Parameter("includeUsers", "Whether its members are listed too.", FLAG),),
)
EDIT: Final = Declaration(
    "Change an album, or the own notifications of it",
    json_answer("The album as it is now.", _ALBUM),
    form=(
        Parameter("name", "", _NAME),
        Parameter("description", "", text(least=1, most=ALBUM_DESCRIPTION_LENGTH)),
        *_MAY,
        Parameter("notificationNewSeries", "Whether the caller is told of new series.", FLAG),
        Parameter("notificationNewComment", "Whether the caller is told of new comments.", FLAG),
    ),
)
DELETE: Final = Declaration("Delete an album", DONE)
MARK_FAVORITE: Final = Declaration("Mark an album as the caller's favourite", DONE)
UNMARK_FAVORITE: Final = Declaration("Take the mark of a favourite from an album", DONE)

_DAY: Final = re.compile(r"[0-9]{8}", re.ASCII)


async def create(call: Call) -> Response:
    form = await form_of(call)
    description = form.one("description") or ""
    draft = AlbumDraft(
        name=titled("name", form.required("name"), most=ALBUM_NAME_LENGTH),
        description=_description(description) if description.strip() else "",
        flags=_flags(form),
    )
    view = await call.process.albums.create(call.principal, draft, asked=call.use(UseKind.ALBUM_CREATED))
    return json_of(_json(view), status=201)


async def list_albums(call: Call) -> Response:
    query = query_of(call)
    name, modality = query.one("name"), query.one("modality")
    wanted = AlbumFilter(
        # As in every search: an empty value matches everything.
        name=name or None,
        sounds_like=query.flag("fuzzymatching"),
        created=_days(query, "created_time"),
        last_event=_days(query, "last_event_time"),
        modality=modality or None,
        favorite=query.flag("favorite"),
        can_add_series=query.flag("canAddSeries"),
        can_create_capability=query.flag("canCreateCapabilityToken"),
    )
    views, total = await call.process.albums.list(call.principal, wanted, _sort(query.one("sort")), query.page())
    return listed([_json(view) for view in views], total)


async def get(call: Call) -> Response:
    page = Page() if query_of(call).flag("includeUsers") else None
    return json_of(_json(await call.process.albums.get(call.principal, _album(call), page)))


async def edit(call: Call) -> Response:
    form = await form_of(call)
    name, description = form.one("name"), form.one("description")
    changes = AlbumEdit(
        name=None if name is None else titled("name", name, most=ALBUM_NAME_LENGTH),
        description=None if description is None else _description(description),
        flags=FlagChanges(**{field: form.flag(name) for name, field in _FLAGS.items()}),
        notification_new_series=form.flag("notificationNewSeries"),
        notification_new_comment=form.flag("notificationNewComment"),
    )
    use = call.use(UseKind.ALBUM_EDITED)
    return json_of(_json(await call.process.albums.edit(call.principal, _album(call), changes, asked=use)))


async def delete(call: Call) -> Response:
    await call.process.albums.delete(call.principal, _album(call), asked=call.use(UseKind.ALBUM_DELETED))
    return done()


async def mark_favorite(call: Call) -> Response:
    return await _favorite(call, is_favorite=True)


async def unmark_favorite(call: Call) -> Response:
    return await _favorite(call, is_favorite=False)


async def _favorite(call: Call, *, is_favorite: bool) -> Response:
    await call.process.albums.members.set_favorite(
        call.principal, _album(call), is_favorite=is_favorite, asked=call.use(UseKind.ALBUM_EDITED)
    )
    return done()


def _album(call: Call) -> AlbumId:
    return album_of(call.params["album"])


def _description(text: str) -> str:
    return bounded("description", text, most=ALBUM_DESCRIPTION_LENGTH)


def _flags(form: Form) -> AlbumFlags:
    given = {field: form.flag(name) for name, field in _FLAGS.items()}
    return AlbumFlags(**{field: value for field, value in given.items() if value is not None})


def _sort(text: str | None) -> AlbumSort:
    if text is None:
        return AlbumSort()
    key = text.removeprefix("-")
    if key not in ALBUM_SORTS:
        raise BadQueryParameterError(f"'sort' may be {', '.join(ALBUM_SORTS)}, with - before it for descending.")
    return AlbumSort(key=key, descending=text.startswith("-"))


def _days(query: Query, name: str) -> Days:
    """Return a day, or a range such as ``20260101-20260131``, ``20260101-`` or ``-20260131``."""
    text = query.one(name)
    if not text:
        return Days()
    first, dash, last = text.partition("-")
    if first or last:
        try:
            return Days(_day(first), _day(last) if dash else _day(first))
        except ValueError:
            pass
    raise BadQueryParameterError(f"'{name}' must be a day as yyyyMMdd, or a range of days.")


def _day(text: str) -> date | None:
    if not text:
        return None
    if _DAY.fullmatch(text) is None:
        raise ValueError
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _json(view: AlbumView) -> Json:
    """Return an album as KHEOPS's AlbumResponse."""
    record, contents = view.record, view.contents
    reduced: dict[str, object] = {
        "album_id": record.album,
        "name": record.name,
        "description": record.description,
        "modalities": list(contents.modalities),
        "number_of_studies": contents.number_of_studies,
        "number_of_series": contents.number_of_series,
        "number_of_instances": contents.number_of_instances,
    }
    if view.reduced:
        return reduced
    return {
        **reduced,
        "created_time": local_time(record.created_at),
        "last_event_time": local_time(record.last_event_at),
        "number_of_users": record.number_of_users,
        "number_of_comments": record.number_of_comments,
        "users": None if view.members is None else [member_json(member) for member in view.members],
        **{each.name: getattr(record.flags, each.name) for each in fields(AlbumFlags)},
        "is_admin": record.is_admin,
        "is_favorite": record.is_favorite,
        "notification_new_series": record.notification_new_series,
        "notification_new_comment": record.notification_new_comment,
    }
