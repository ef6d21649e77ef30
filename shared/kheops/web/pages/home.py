"""The first page: what this is, or what is mine."""

from typing import Final

from kheops.services.sessions import Session
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.albums import find_albums
from kheops.web.pages.document import page
from kheops.web.pages.gate import local_path
from kheops.web.pages.login import choices
from kheops.web.pages.studies import find_studies
from kheops.web.sessions import current_session

__all__ = ["home"]

_ROWS: Final = 10


async def home(call: Call) -> AsgiResponse:
    session = await current_session(call)
    if session is None:
        # An issuer may add parameters of its own when it sends somebody back after logout: they mean nothing.
        return_to = next((value for name, value in call.query() if name == "return_to"), "/")
        values = {"choices": choices(call.process), "return_to": local_path(return_to)}
        return page(call, "welcome.html", values)
    call.caller = session.person
    return await _own(call, session)


async def _own(call: Call, session: Session) -> AsgiResponse:
    studies = await find_studies(call, session, rows=_ROWS)
    albums, total = await find_albums(call, session, rows=_ROWS)
    values = {"studies": studies, "albums": albums, "total_albums": total}
    return page(call, "home.html", values, session=session)
