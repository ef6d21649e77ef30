"""The control plane: albums, members, capability tokens, people."""

from typing import Final

from kheops.domain.uses import UseKind
from kheops.errors import MethodNotAllowedError
from kheops.web.api import (
    administration,
    albums,
    audit,
    capabilities,
    comments,
    groups,
    history,
    invitations,
    legal_hold,
    links,
    members,
    metrics,
    openapi,
    orphans,
    people,
    probes,
    report_providers,
    reports,
    shares,
    tokens,
    verification,
    viewers,
    webhooks,
)
from kheops.web.call import AsgiResponse, Call
from kheops.web.dispatch import dispatch_table
from kheops.web.routing import Route, RouteTable

__all__ = ["TABLE", "WELL_KNOWN", "dispatch"]

TABLE: Final = RouteTable(
    [
        Route(("GET",), "/openapi.json", openapi.openapi, public=True, declared=openapi.DOCUMENT),
        Route(("GET",), "/liveness", probes.liveness, public=True, declared=probes.LIVENESS),
        Route(("GET",), "/readiness", probes.readiness, public=True, declared=probes.READINESS),
        Route(("POST",), "/register", people.register, UseKind.PERSON_CREATED, public=True, declared=people.REGISTER),
        Route(("GET",), "/users", people.find_user, UseKind.PERSON_READ, declared=people.FIND),
        Route(
            ("GET",),
            "/users/{user}/suspension",
            administration.standing,
            UseKind.PERSON_READ,
            declared=administration.STANDING,
        ),
        Route(
            ("PUT",),
            "/users/{user}/suspension",
            administration.suspend,
            UseKind.PERSON_SUSPENDED,
            declared=administration.SUSPEND,
        ),
        Route(
            ("DELETE",),
            "/users/{user}/suspension",
            administration.restore,
            UseKind.PERSON_RESTORED,
            declared=administration.RESTORE,
        ),
        Route(
            ("DELETE",), "/users/{user}", administration.erase, UseKind.PERSON_ERASED, declared=administration.ERASE
        ),
        Route(("GET",), "/orphans", orphans.list_orphans, UseKind.ORPHANS_READ, declared=orphans.LIST),
        Route(("GET",), "/legalholds", legal_hold.list_holds, UseKind.LEGAL_HOLD_READ, declared=legal_hold.LIST),
        Route(("PUT",), "/legalholds/{series}", legal_hold.put, UseKind.LEGAL_HOLD_SET, declared=legal_hold.SET),
        Route(
            ("DELETE",),
            "/legalholds/{series}",
            legal_hold.clear,
            UseKind.LEGAL_HOLD_CLEARED,
            declared=legal_hold.CLEAR,
        ),
        Route(("GET",), "/audit", audit.list_uses, UseKind.AUDIT_READ, declared=audit.LIST),
        Route(("GET",), "/metrics", metrics.metrics, UseKind.METRICS_READ, declared=metrics.METRICS),
        Route(("GET",), "/inboxinfo", people.inbox_info, UseKind.ALBUM_READ, declared=people.INBOX),
        Route(("GET",), "/albums", albums.list_albums, UseKind.ALBUM_READ, declared=albums.LIST),
        Route(("POST",), "/albums", albums.create, UseKind.ALBUM_CREATED, declared=albums.CREATE),
        Route(("GET",), "/albums/{album}", albums.get, UseKind.ALBUM_READ, declared=albums.GET),
        Route(("PATCH",), "/albums/{album}", albums.edit, UseKind.ALBUM_EDITED, declared=albums.EDIT),
        Route(("DELETE",), "/albums/{album}", albums.delete, UseKind.ALBUM_DELETED, declared=albums.DELETE),
        Route(
            ("PUT",),
            "/albums/{album}/favorites",
            albums.mark_favorite,
            UseKind.ALBUM_EDITED,
            declared=albums.MARK_FAVORITE,
        ),
        Route(
            ("DELETE",),
            "/albums/{album}/favorites",
            albums.unmark_favorite,
            UseKind.ALBUM_EDITED,
            declared=albums.UNMARK_FAVORITE,
        ),
        Route(
            ("GET",),
            "/albums/{album}/invitations",
            invitations.list_invitations,
            UseKind.INVITATION_READ,
            declared=invitations.LIST,
        ),
        Route(
            ("POST",),
            "/albums/{album}/invitations",
            invitations.create,
            UseKind.INVITATION_CREATED,
            declared=invitations.CREATE,
        ),
        Route(
            ("DELETE",),
            "/albums/{album}/invitations/{invitation}",
            invitations.revoke,
            UseKind.INVITATION_REVOKED,
            declared=invitations.REVOKE,
        ),
        Route(("GET",), "/albums/{album}/groups", groups.list_groups, UseKind.ALBUM_READ, declared=groups.LIST),
        Route(("PUT",), "/albums/{album}/groups/{group}", groups.add, UseKind.GROUP_ADDED, declared=groups.ADD),
        Route(
            ("DELETE",), "/albums/{album}/groups/{group}", groups.remove, UseKind.GROUP_REMOVED, declared=groups.REMOVE
        ),
        Route(("GET",), "/albums/{album}/users", members.list_members, UseKind.ALBUM_READ, declared=members.LIST),
        Route(("PUT",), "/albums/{album}/users/{user}", members.add, UseKind.MEMBER_ADDED, declared=members.ADD),
        Route(
            ("DELETE",),
            "/albums/{album}/users/{user}",
            members.remove,
            UseKind.MEMBER_REMOVED,
            declared=members.REMOVE,
        ),
        Route(
            ("PUT",),
            "/albums/{album}/users/{user}/admin",
            members.promote,
            UseKind.ADMIN_CHANGED,
            declared=members.PROMOTE,
        ),
        Route(
            ("DELETE",),
            "/albums/{album}/users/{user}/admin",
            members.demote,
            UseKind.ADMIN_CHANGED,
            declared=members.DEMOTE,
        ),
        Route(
            ("GET",), "/albums/{album}/webhooks", webhooks.list_webhooks, UseKind.WEBHOOK_READ, declared=webhooks.LIST
        ),
        Route(
            ("POST",), "/albums/{album}/webhooks", webhooks.create, UseKind.WEBHOOK_CREATED, declared=webhooks.CREATE
        ),
        Route(
            ("GET",), "/albums/{album}/webhooks/{webhook}", webhooks.get, UseKind.WEBHOOK_READ, declared=webhooks.GET
        ),
        Route(
            ("PATCH",),
            "/albums/{album}/webhooks/{webhook}",
            webhooks.edit,
            UseKind.WEBHOOK_EDITED,
            declared=webhooks.EDIT,
        ),
        Route(
            ("DELETE",),
            "/albums/{album}/webhooks/{webhook}",
            webhooks.delete,
            UseKind.WEBHOOK_DELETED,
            declared=webhooks.DELETE,
        ),
        Route(
            ("POST",),
            "/albums/{album}/webhooks/{webhook}/trigger",
            webhooks.trigger,
            UseKind.WEBHOOK_TRIGGERED,
            declared=webhooks.TRIGGER,
        ),
        Route(("GET",), "/albums/{album}/events", history.list_events, UseKind.ALBUM_READ, declared=history.LIST),
        Route(
            ("POST",),
            "/albums/{album}/comments",
            comments.comment_on_album,
            UseKind.COMMENT_WRITTEN,
            declared=comments.WRITE,
        ),
        Route(
            ("GET",),
            "/capabilities",
            capabilities.list_capabilities,
            UseKind.CAPABILITY_READ,
            declared=capabilities.LIST,
        ),
        Route(
            ("POST",), "/capabilities", capabilities.create, UseKind.CAPABILITY_CREATED, declared=capabilities.CREATE
        ),
        Route(
            ("GET",),
            "/capabilities/{capability}",
            capabilities.get,
            UseKind.CAPABILITY_READ,
            declared=capabilities.GET,
        ),
        Route(
            ("POST",),
            "/capabilities/{capability}/revoke",
            capabilities.revoke,
            UseKind.CAPABILITY_REVOKED,
            declared=capabilities.REVOKE,
        ),
        Route(("GET",), "/links", links.list_links, UseKind.LINK_READ, declared=links.LIST),
        Route(("POST",), "/links", links.create, UseKind.LINK_CREATED, declared=links.CREATE),
        Route(("GET",), "/links/{link}", links.get, UseKind.LINK_READ, declared=links.GET),
        Route(("POST",), "/links/{link}/revoke", links.revoke, UseKind.LINK_REVOKED, declared=links.REVOKE),
        Route(("POST",), "/links/{link}/open", links.open_link, UseKind.LINK_OPENED, public=True, declared=links.OPEN),
        Route(("POST",), "/token", tokens.token, UseKind.VIEWER_TOKEN_CREATED, public=True, declared=tokens.TOKEN),
        Route(
            ("POST",),
            "/token/introspect",
            tokens.introspect,
            UseKind.TOKEN_INTROSPECTED,
            public=True,
            declared=tokens.INTROSPECT,
        ),
        Route(("POST",), "/verifyInstance", verification.verify, UseKind.STORE, declared=verification.VERIFY),
        Route(("POST",), "/shares", shares.share, UseKind.SHARE, declared=shares.SHARE),
        Route(
            ("GET",),
            "/albums/{album}/reportproviders",
            report_providers.list_providers,
            UseKind.REPORT_PROVIDER_READ,
            declared=report_providers.LIST,
        ),
        Route(
            ("POST",),
            "/albums/{album}/reportproviders",
            report_providers.create,
            UseKind.REPORT_PROVIDER_CREATED,
            declared=report_providers.CREATE,
        ),
        Route(
            ("GET",),
            "/albums/{album}/reportproviders/{client}",
            report_providers.get,
            UseKind.REPORT_PROVIDER_READ,
            declared=report_providers.GET,
        ),
        Route(
            ("PATCH",),
            "/albums/{album}/reportproviders/{client}",
            report_providers.edit,
            UseKind.REPORT_PROVIDER_EDITED,
            declared=report_providers.EDIT,
        ),
        Route(
            ("DELETE",),
            "/albums/{album}/reportproviders/{client}",
            report_providers.remove,
            UseKind.REPORT_PROVIDER_REMOVED,
            declared=report_providers.REMOVE,
        ),
        Route(
            ("POST",),
            "/reportproviders/metadata",
            report_providers.probe,
            UseKind.REPORT_PROVIDER_READ,
            declared=report_providers.PROBE,
        ),
        Route(
            ("GET",),
            "/.well-known/report-provider-configuration",
            report_providers.describe,
            public=True,
            declared=report_providers.DESCRIBE,
        ),
        Route(("POST",), "/report", reports.report, UseKind.REPORT_REQUESTED, public=True, declared=reports.REPORT),
        Route(("GET",), "/userinfo", reports.userinfo, UseKind.PERSON_READ, declared=reports.USERINFO),
        Route(
            ("GET",),
            "/ohifservermetadata",
            viewers.ohif_server,
            UseKind.VIEWER_CONFIGURED,
            declared=viewers.OHIF_SERVER,
        ),
    ]
)
"""Paths below ``/api`` and ``/api/link/{token}``."""

WELL_KNOWN: Final = RouteTable(
    [
        Route(
            ("GET",),
            "/.well-known/oauth-protected-resource",
            probes.protected_resource,
            public=True,
            declared=probes.PROTECTED_RESOURCE,
        )
    ]
)
"""Paths at the root."""


async def dispatch(call: Call) -> AsgiResponse:
    """Answer a call to the control plane.

    Raises
    ------
    RouteNotFoundError
        If the path is not one of its own. ``/albums`` is none: only ``/api/albums`` is.
    MethodNotAllowedError
        If it is, but not with this method.
    KheopsError
        Whatever the handler raises.
    """
    if call.path == ("/" if call.below_api else "/api"):
        if call.method != "OPTIONS":
            raise MethodNotAllowedError(frozenset({"OPTIONS"}))
        # It knows both planes' tables, this one's among them, and hardly any process is ever asked for it.
        from kheops.web.capabilities_description import capabilities_description

        return await capabilities_description(call)
    table = TABLE if call.below_api else WELL_KNOWN
    return await dispatch_table(table, call)
