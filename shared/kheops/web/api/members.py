"""``/albums/{album}/users``."""

from typing import Final

from starlette.responses import Response

from kheops.domain.uses import UseKind
from kheops.web.api.answers import MEMBER, created, done, listed, member_json
from kheops.web.api.parameters import album_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import CREATED, DONE, ISSUER, PAGING, Declaration, listed_answer

__all__ = [
    "ADD",
    "DEMOTE",
    "LIST",
    "PROMOTE",
    "REMOVE",
    "add",
    "demote",
    "list_members",
    "promote",
    "remove",
]

LIST: Final = Declaration("List the members of an album", listed_answer("The members.", MEMBER), query=PAGING)
ADD: Final = Declaration("Add a member to an album", CREATED, query=(ISSUER,))
REMOVE: Final = Declaration("Remove a member from an album", DONE, query=(ISSUER,), errors=(409,))
PROMOTE: Final = Declaration("Make somebody an administrator of an album", DONE, query=(ISSUER,))
DEMOTE: Final = Declaration("Make an administrator of an album a plain member", DONE, query=(ISSUER,), errors=(409,))


async def list_members(call: Call) -> Response:
    page = query_of(call).page()
    found, total = await call.process.albums.members.list(call.principal, album_of(call.params["album"]), page)
    return listed([member_json(member) for member in found], total)


async def add(call: Call) -> Response:
    await call.process.albums.members.add(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.MEMBER_ADDED),
        issuer=query_of(call).one("issuer"),
    )
    return created()


async def remove(call: Call) -> Response:
    await call.process.albums.members.remove(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.MEMBER_REMOVED),
        issuer=query_of(call).one("issuer"),
    )
    return done()


async def promote(call: Call) -> Response:
    await call.process.albums.members.promote(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.ADMIN_CHANGED),
        issuer=query_of(call).one("issuer"),
    )
    return done()


async def demote(call: Call) -> Response:
    await call.process.albums.members.demote(
        call.principal,
        album_of(call.params["album"]),
        call.params["user"],
        asked=call.use(UseKind.ADMIN_CHANGED),
        issuer=query_of(call).one("issuer"),
    )
    return done()
