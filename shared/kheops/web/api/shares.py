"""``/shares``: chosen series to somebody, into an album, or behind a link, in one call."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from kheops.domain.resources import SeriesRef
from kheops.domain.uses import UseKind
from kheops.errors import AlbumNotFoundError, BadRequestError, InvalidIdentifierError
from kheops.ids import AlbumId, album_id, series_instance_uid, study_instance_uid
from kheops.services.sharing import NamedSource
from kheops.web.api.answers import created
from kheops.web.api.json_body import json_object
from kheops.web.api.links import WITH_SECRET, created_link
from kheops.web.api.parameters import query_of
from kheops.web.call import Call, Form
from kheops.web.declaration import JSON, Answer, Declaration
from kheops.web.schema import ALBUM_ID, COUNT, FLAG, TEXT, UID, either, list_of, record

__all__ = ["SHARE", "share"]

_LONGEST: Final = 320
"""Characters of a user reference, as in paths."""
_MEMBERS: Final = ("StudyInstanceUID", "SeriesInstanceUID")
_SERIES: Final = record(dict.fromkeys(_MEMBERS, UID))

_OF_LINK: Final = ("title", "passcode", "max_uses", "expiration_time", "download_permission")
_LINK: Final = record(
    {"title": TEXT},
    {"passcode": TEXT, "max_uses": COUNT, "expiration_time": TEXT, "download_permission": FLAG},
)

SHARE: Final = Declaration(
    "Share chosen series with somebody, into an album or by a new link: all of them, or none",
    {201: Answer("Done, or so already; of a link, the link with its secret.", {JSON: WITH_SECRET})},
    bodies={
        JSON: record(
            {
                "series": list_of(_SERIES),
                "target": either(
                    record({"user": TEXT}, {"issuer": TEXT}), record({"album": ALBUM_ID}), record({"link": _LINK})
                ),
            },
            {"source": either(record({"album": ALBUM_ID}), record({"inbox": FLAG}))},
        )
    },
)


async def share(call: Call) -> Response:
    query_of(call)
    body = await json_object(call)
    if body.keys() - {"series", "target", "source"}:
        raise BadRequestError("The members known here are 'series', 'target' and 'source'.")
    chosen = _chosen(body.get("series"), most=call.process.settings.shared_series)
    target, issuer = _target(body.get("target"))
    name, value = _named(target, "target", {"user", "album", "link"})
    if name == "link":
        if "source" in body:
            raise BadRequestError("'source' does not go with a link.")
        return await created_link(call, _link_form(value, chosen))
    source = _source(body.get("source"))
    asked = call.use(UseKind.SHARE)
    sharing = call.process.sharing
    if name == "user":
        await sharing.share_with_user(
            call.principal, chosen, _text(value, name), source=source, asked=asked, issuer=issuer
        )
    else:
        await sharing.share_with_album(call.principal, chosen, _album(value), source=source, asked=asked)
    return created()


def _target(value: object) -> tuple[object, str | None]:
    """Take the issuer of a ``sub`` out of the target."""
    if not isinstance(value, dict) or "issuer" not in value or "user" not in value:
        return value, None
    return {name: each for name, each in value.items() if name != "issuer"}, _text(value["issuer"], "issuer")


def _chosen(value: object, *, most: int) -> tuple[SeriesRef, ...]:
    if not isinstance(value, list) or not value or len(value) > most:
        raise BadRequestError(f"'series' must be a list of 1 to {most} series.")
    return tuple(dict.fromkeys(map(_series, value)))


def _series(value: object) -> SeriesRef:
    members = value if isinstance(value, dict) else {}
    study, series = map(members.get, _MEMBERS)
    if len(members) != len(_MEMBERS) or not isinstance(study, str) or not isinstance(series, str):
        raise BadRequestError("A series has 'StudyInstanceUID' and 'SeriesInstanceUID', and nothing else.")
    try:
        return SeriesRef(study_instance_uid(study), series_instance_uid(series))
    except InvalidIdentifierError:
        raise BadRequestError("A series has something that is not a valid UID.") from None


def _link_form(value: object, chosen: Sequence[SeriesRef]) -> Form:
    members = value if isinstance(value, dict) else {"": ""}
    if members.keys() - set(_OF_LINK) or not all(isinstance(each, str | int) for each in members.values()):
        raise BadRequestError("The members of a link are " + ", ".join(f"'{name}'" for name in _OF_LINK) + ".")
    described = [(name, str(each).lower() if isinstance(each, bool) else str(each)) for name, each in members.items()]
    series = [("series", f"{ref.study_instance_uid}/{ref.series_instance_uid}") for ref in chosen]
    return Form((*described, *series))


def _source(value: object) -> NamedSource:
    if value is None:
        return NamedSource()
    name, source = _named(value, "source", {"album", "inbox"})
    if name == "album":
        return NamedSource(album=_album(source))
    if not isinstance(source, bool):
        raise BadRequestError("'inbox' must be true or false.")
    return NamedSource(inbox=source)


def _named(value: object, what: str, known: set[str]) -> tuple[str, object]:
    if not isinstance(value, Mapping) or len(value) != 1 or value.keys() - known:
        raise BadRequestError(f"'{what}' has one member: " + " or ".join(f"'{name}'" for name in sorted(known)) + ".")
    return next(iter(value.items()))


def _album(value: object) -> AlbumId:
    try:
        return album_id(_text(value, "album"))
    except InvalidIdentifierError:
        raise AlbumNotFoundError from None


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
        raise BadRequestError(f"'{name}' must be a text of at most {_LONGEST} characters.")
    return value
