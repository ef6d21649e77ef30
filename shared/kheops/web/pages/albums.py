"""Albums, as their member sees them."""

from dataclasses import replace
from typing import Final

from kheops.domain.albums import AlbumFilter, AlbumSort, Page
from kheops.domain.export_policy import export_from_album
from kheops.domain.resources import AlbumRole
from kheops.domain.uses import UseKind
from kheops.ids import album_id
from kheops.services.albums import AlbumView
from kheops.services.sessions import Session
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.document import page
from kheops.web.pages.gate import parameters
from kheops.web.pages.studies import ROWS, find_studies

__all__ = ["album", "albums", "find_albums"]

_NEWEST_FIRST: Final = AlbumSort("last_event_time")


async def find_albums(call: Call, session: Session, *, rows: int) -> tuple[list[AlbumView], int]:
    """Return the albums of somebody, the most lately used first, and how many there are in all."""
    found = await call.process.albums.list(session.person, AlbumFilter(), _NEWEST_FIRST, Page(rows))
    await call.process.audit.record(call.use(UseKind.ALBUM_READ))
    return found


async def albums(call: Call, session: Session) -> AsgiResponse:
    parameters(call)
    found, total = await find_albums(call, session, rows=1000)
    return page(call, "albums.html", {"albums": found, "total": total}, session=session)


async def album(call: Call, session: Session) -> AsgiResponse:
    given = parameters(call, "offset")
    name = album_id(call.params["album"])
    view = await call.process.albums.get(session.person, name, Page(100))
    groups, of_groups = await call.process.groups.list(session.person, name, Page(100))
    found = await find_studies(call, session, rows=ROWS, offset=given.get("offset", "0"), album=name)
    await call.process.audit.record(replace(call.use(UseKind.ALBUM_READ), subject=name))
    role = AlbumRole(view.record.pk, is_inbox=False, is_admin=view.record.is_admin, flags=view.record.flags)
    shown = {
        "album": view,
        "studies": found,
        "groups": groups,
        "number_of_groups": of_groups,
        "files": export_from_album(role) is None,
    }
    return page(call, "album.html", shown, session=session)
