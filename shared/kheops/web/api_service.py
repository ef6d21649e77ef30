"""The control plane: albums, members, capability tokens, people."""

from typing import Final

from kheops.domain.uses import UseKind
from kheops.web.api import albums, capabilities, comments, history, members, metrics, people, probes, tokens, viewers
from kheops.web.call import AsgiResponse, Call
from kheops.web.dispatch import dispatch_table
from kheops.web.routing import Route, RouteTable

__all__ = ["TABLE", "WELL_KNOWN", "dispatch"]

TABLE: Final = RouteTable(
    [
        Route(("GET",), "/liveness", probes.liveness, public=True),
        Route(("GET",), "/readiness", probes.readiness, public=True),
        Route(("POST",), "/register", people.register, UseKind.PERSON_CREATED, public=True),
        Route(("GET",), "/users", people.find_user, UseKind.PERSON_READ),
        Route(("GET",), "/metrics", metrics.metrics, UseKind.METRICS_READ),
        Route(("GET",), "/inboxinfo", people.inbox_info, UseKind.ALBUM_READ),
        Route(("GET",), "/albums", albums.list_albums, UseKind.ALBUM_READ),
        Route(("POST",), "/albums", albums.create, UseKind.ALBUM_CREATED),
        Route(("GET",), "/albums/{album}", albums.get, UseKind.ALBUM_READ),
        Route(("PATCH",), "/albums/{album}", albums.edit, UseKind.ALBUM_EDITED),
        Route(("DELETE",), "/albums/{album}", albums.delete, UseKind.ALBUM_DELETED),
        Route(("PUT",), "/albums/{album}/favorites", albums.mark_favorite, UseKind.ALBUM_EDITED),
        Route(("DELETE",), "/albums/{album}/favorites", albums.unmark_favorite, UseKind.ALBUM_EDITED),
        Route(("GET",), "/albums/{album}/users", members.list_members, UseKind.ALBUM_READ),
        Route(("PUT",), "/albums/{album}/users/{user}", members.add, UseKind.MEMBER_ADDED),
        Route(("DELETE",), "/albums/{album}/users/{user}", members.remove, UseKind.MEMBER_REMOVED),
        Route(("PUT",), "/albums/{album}/users/{user}/admin", members.promote, UseKind.ADMIN_CHANGED),
        Route(("DELETE",), "/albums/{album}/users/{user}/admin", members.demote, UseKind.ADMIN_CHANGED),
        Route(("GET",), "/albums/{album}/events", history.list_events, UseKind.ALBUM_READ),
        Route(("POST",), "/albums/{album}/comments", comments.comment_on_album, UseKind.COMMENT_WRITTEN),
        Route(("GET",), "/capabilities", capabilities.list_capabilities, UseKind.CAPABILITY_READ),
        Route(("POST",), "/capabilities", capabilities.create, UseKind.CAPABILITY_CREATED),
        Route(("GET",), "/capabilities/{capability}", capabilities.get, UseKind.CAPABILITY_READ),
        Route(("POST",), "/capabilities/{capability}/revoke", capabilities.revoke, UseKind.CAPABILITY_REVOKED),
        Route(("POST",), "/token", tokens.token, UseKind.VIEWER_TOKEN_CREATED, public=True),
        Route(("POST",), "/token/introspect", tokens.introspect, UseKind.TOKEN_INTROSPECTED, public=True),
        Route(("GET",), "/ohifservermetadata", viewers.ohif_server, UseKind.VIEWER_CONFIGURED),
    ]
)
"""Paths below ``/api`` and ``/api/link/{token}``."""

WELL_KNOWN: Final = RouteTable(
    [Route(("GET",), "/.well-known/oauth-protected-resource", probes.protected_resource, public=True)]
)
"""Paths at the root."""


async def dispatch(call: Call) -> AsgiResponse:
    """Answer a call to the control plane.

    Raises
    ------
    RouteNotFoundError
        If the path is not one of its own. ``/albums`` is none: only ``/api/albums`` is.
    KheopsError
        Whatever the handler raises.
    """
    table = TABLE if call.below_api else WELL_KNOWN
    return await dispatch_table(table, call)
