"""``.../favorites`` below ``/studies``."""

from typing import Final

from starlette.responses import Response

from kheops.dicomweb.resources import Favorites
from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError
from kheops.web.call import Call
from kheops.web.declaration import ALBUM, DONE, INBOX, Declaration
from kheops.web.dicomweb.sharing import selection_of, source_of

__all__ = ["MARK", "UNMARK", "mark_favorite", "unmark_favorite"]

MARK: Final = Declaration("Mark series as favourites in an album or the inbox", DONE, query=(ALBUM, INBOX))
UNMARK: Final = Declaration("Take the mark of favourites from series", DONE, query=(ALBUM, INBOX))


async def mark_favorite(call: Call, resource: Favorites) -> Response:
    """Answer ``PUT /studies/{S}[/series/{R}]/favorites``."""
    return await _mark(call, resource, is_favorite=True)


async def unmark_favorite(call: Call, resource: Favorites) -> Response:
    """Answer ``DELETE /studies/{S}[/series/{R}]/favorites``."""
    return await _mark(call, resource, is_favorite=False)


async def _mark(call: Call, resource: Favorites, *, is_favorite: bool) -> Response:
    source = source_of(call)
    selection = selection_of(resource.of)
    use = call.use(UseKind.FAVORITE_CHANGED)
    favorites = call.process.favorites
    if source.album is not None:
        await favorites.mark_in_album(call.principal, selection, source.album, is_favorite=is_favorite, asked=use)
    elif source.inbox:
        await favorites.mark_in_inbox(call.principal, selection, is_favorite=is_favorite, asked=use)
    else:
        raise BadQueryParameterError("Use album XOR inbox query param")
    return Response(status_code=204)
