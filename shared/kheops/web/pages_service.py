"""The pages' routes."""

from typing import Final

from kheops.domain.uses import UseKind
from kheops.errors import KheopsError, UnavailableError
from kheops.observability import get_logger
from kheops.services.sessions import Session
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.albums import album, albums
from kheops.web.pages.assets import asset
from kheops.web.pages.failures import failure
from kheops.web.pages.gate import signed_in
from kheops.web.pages.home import home
from kheops.web.pages.links import link
from kheops.web.pages.login import CALLBACK, callback, login, logout
from kheops.web.pages.studies import studies
from kheops.web.pages.tokens import make_token, token
from kheops.web.routing import Route, RouteTable
from kheops.web.sessions import current_session

__all__ = ["TABLE", "dispatch"]

_LOG = get_logger(__name__)

_SEARCH: Final = UseKind.SEARCH
_ALBUM: Final = UseKind.ALBUM_READ
_TOKEN: Final = UseKind.CAPABILITY_CREATED

TABLE: Final = RouteTable(
    (
        Route(("GET",), "/", home, UseKind.SEARCH, public=True),
        Route(("GET",), "/login", login, UseKind.LOGIN, public=True),
        Route(("GET",), CALLBACK, callback, UseKind.LOGIN, public=True),
        Route(("POST",), "/logout", logout, UseKind.LOGOUT, public=True),
        Route(("GET",), "/assets/{asset}", asset, public=True),
        Route(("GET",), "/s/{link}", link, UseKind.LINK_OPENED, public=True),
        Route(("GET",), "/studies", signed_in(studies, _SEARCH), _SEARCH),
        Route(("GET",), "/albums", signed_in(albums, _ALBUM), _ALBUM),
        Route(("GET",), "/albums/{album}", signed_in(album, _ALBUM), _ALBUM),
        Route(("GET",), "/token", signed_in(token, _TOKEN), _TOKEN),
        Route(("POST",), "/token", signed_in(make_token, _TOKEN), _TOKEN),
    )
)
"""Every page. What is not ``public`` here is behind `kheops.web.pages.gate.signed_in` (a test asks each)."""


_NO_PAGES: Final = RouteTable(())


async def dispatch(call: Call) -> AsgiResponse:
    """Return the page that a request asks for, or the page of the error that came of it."""
    try:
        # Below /api the entry has taken the prefix off: `/api/studies` must not be the page `/studies`.
        table = _NO_PAGES if call.below_api else TABLE
        route, call.params = table.find(call.method, call.path)
        call.template = route.template
        return await route.handler(call)
    except KheopsError as error:
        return failure(call, error, session=await _who_is_there(call, error))
    except Exception:  # noqa: BLE001 - whatever it is, the reader gets fixed words and the log gets the frames
        _LOG.exception("page.failed", request_id=call.request_id)
        return failure(call, KheopsError())


async def _who_is_there(call: Call, error: KheopsError) -> Session | None:
    """Return whose page an error's is, so that it keeps its navigation; ``None`` where nobody can tell now."""
    if isinstance(error, UnavailableError):
        return None
    try:
        return await current_session(call)
    except KheopsError:
        return None
