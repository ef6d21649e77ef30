"""``/albums/{album}/groups``: groups of an issuer as members of albums. KHEOPS has none."""

from typing import Final

from starlette.responses import Response

from kheops.domain.groups import Group, GroupMember
from kheops.domain.uses import UseKind
from kheops.web.api.answers import Json, created, done, listed, local_time
from kheops.web.api.parameters import Query, album_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import CREATED, DONE, PAGING, Declaration, Parameter, listed_answer
from kheops.web.schema import TEXT, record

__all__ = ["ADD", "LIST", "REMOVE", "add", "list_groups", "remove"]

_ISSUER: Final = Parameter("issuer", "Whose group it is; without it, the default issuer's.")

LIST: Final = Declaration(
    "List the groups that are members of an album",
    listed_answer("The groups.", record({"issuer": TEXT, "group": TEXT, "added_time": TEXT})),
    query=PAGING,
)
ADD: Final = Declaration("Make a group a member of an album", CREATED, query=(_ISSUER,))
REMOVE: Final = Declaration("Take a group out of an album", DONE, query=(_ISSUER,))


async def list_groups(call: Call) -> Response:
    page = query_of(call).page()
    found, total = await call.process.groups.list(call.principal, album_of(call.params["album"]), page)
    return listed([_json(member) for member in found], total)


async def add(call: Call) -> Response:
    group = _group(call, query_of(call))
    asked = call.use(UseKind.GROUP_ADDED)
    await call.process.groups.add(call.principal, album_of(call.params["album"]), group, asked=asked)
    return created()


async def remove(call: Call) -> Response:
    group = _group(call, query_of(call))
    asked = call.use(UseKind.GROUP_REMOVED)
    await call.process.groups.remove(call.principal, album_of(call.params["album"]), group, asked=asked)
    return done()


def _group(call: Call, query: Query) -> Group:
    return Group(query.one("issuer") or call.process.settings.default_issuer.issuer, call.params["group"])


def _json(member: GroupMember) -> Json:
    return {
        "issuer": member.group.iss,
        "group": member.group.value,
        "added_time": local_time(member.added_at),
    }
