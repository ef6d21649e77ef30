"""``/albums/{album}/users``."""

from starlette.responses import Response

from kheops.domain.uses import UseKind
from kheops.web.api.answers import created, done, listed, member_json
from kheops.web.api.parameters import album_of, query_of
from kheops.web.call import Call

__all__ = ["add", "demote", "list_members", "promote", "remove"]


async def list_members(call: Call) -> Response:
    page = query_of(call, "limit", "offset").page()
    found, total = await call.process.albums.members.list(call.principal, album_of(call.params["album"]), page)
    return listed([member_json(member) for member in found], total)


async def add(call: Call) -> Response:
    await call.process.albums.members.add(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.MEMBER_ADDED),
    )
    return created()


async def remove(call: Call) -> Response:
    await call.process.albums.members.remove(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.MEMBER_REMOVED),
    )
    return done()


async def promote(call: Call) -> Response:
    await call.process.albums.members.promote(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.ADMIN_CHANGED),
    )
    return done()


async def demote(call: Call) -> Response:
    await call.process.albums.members.demote(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.ADMIN_CHANGED),
    )
    return done()
