"""The routes of KHEOPS, as its clients call them: what must not go missing here.

Written down from the description of KHEOPS's REST interface (albums, members, events, favourites, capability tokens,
users, searches, sharing, verification, OHIF, tokens, report providers, webhooks), section by section, never from the
code.
"""

import re
from typing import Final

__all__ = ["KHEOPS_ROUTES", "SAMPLES", "sample_of"]

_TABLE: Final = """
    2.2 albums
    POST   /albums
    GET    /albums
    GET    /albums/{album}
    PATCH  /albums/{album}
    DELETE /albums/{album}
    PUT    /albums/{album}/favorites
    DELETE /albums/{album}/favorites

    2.3 members
    GET    /albums/{album}/users
    PUT    /albums/{album}/users/{user}
    DELETE /albums/{album}/users/{user}
    PUT    /albums/{album}/users/{user}/admin
    DELETE /albums/{album}/users/{user}/admin

    2.4 events and comments
    GET    /albums/{album}/events
    POST   /albums/{album}/comments
    GET    /studies/{study}/comments
    POST   /studies/{study}/comments

    2.5 favourites of studies and series
    PUT    /studies/{study}/favorites
    DELETE /studies/{study}/favorites
    PUT    /studies/{study}/favorites/
    DELETE /studies/{study}/favorites/
    PUT    /studies/{study}/series/{series}/favorites
    DELETE /studies/{study}/series/{series}/favorites

    2.6 capability tokens
    POST   /capabilities
    GET    /capabilities
    GET    /capabilities/{capability}
    POST   /capabilities/{capability}/revoke

    2.7 users, inbox, metrics, probes
    POST   /register
    GET    /users
    GET    /userinfo
    GET    /inboxinfo
    GET    /metrics
    GET    /liveness
    GET    /readiness

    2.8 searches
    GET    /studies
    GET    /studies/{study}/series
    GET    /studies/{study}/metadata

    2.9 sharing, claiming, removing
    PUT    /studies/{study}/users/{user}
    PUT    /studies/{study}/series/{series}/users/{user}
    PUT    /studies/{study}
    PUT    /studies/{study}/series/{series}
    PUT    /studies/{study}/albums/{album}
    PUT    /studies/{study}/series/{series}/albums/{album}
    DELETE /studies/{study}
    DELETE /studies/{study}/series/{series}
    DELETE /studies/{study}/albums/{album}
    DELETE /studies/{study}/series/{series}/albums/{album}

    2.10 verification and fetch
    POST   /verifyInstance
    POST   /studies/{study}/fetch
    POST   /studies/{study}/series/fetch

    2.11 storing
    POST   /studies
    POST   /studies/{study}

    2.12 retrieving
    GET    /studies/{study}
    GET    /studies/{study}/instances
    GET    /studies/{study}/series/{series}
    GET    /studies/{study}/series/{series}/instances
    GET    /studies/{study}/series/{series}/metadata
    GET    /studies/{study}/series/{series}/bulkdata/{path}
    GET    /studies/{study}/series/{series}/thumbnail
    GET    /studies/{study}/series/{series}/instances/{instance}
    GET    /studies/{study}/series/{series}/instances/{instance}/metadata
    GET    /studies/{study}/series/{series}/instances/{instance}/frames/{frame}
    GET    /studies/{study}/series/{series}/instances/{instance}/frames/{frame}/thumbnail
    GET    /studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}
    GET    /studies/{study}/series/{series}/instances/{instance}/thumbnail
    GET    /wado

    2.14 OHIF
    GET    /studies/{study}/ohifmetadata
    GET    /ohifservermetadata

    2.15, 2.16 tokens
    POST   /token
    POST   /token/introspect

    2.17 report providers
    POST   /albums/{album}/reportproviders
    GET    /albums/{album}/reportproviders
    GET    /albums/{album}/reportproviders/{client}
    PATCH  /albums/{album}/reportproviders/{client}
    DELETE /albums/{album}/reportproviders/{client}
    POST   /reportproviders/metadata
    POST   /report
    GET    /.well-known/report-provider-configuration

    2.18 webhooks
    POST   /albums/{album}/webhooks
    GET    /albums/{album}/webhooks
    GET    /albums/{album}/webhooks/{webhook}
    PATCH  /albums/{album}/webhooks/{webhook}
    DELETE /albums/{album}/webhooks/{webhook}
    POST   /albums/{album}/webhooks/{webhook}/trigger
"""
"""Paths below ``/api``, and below ``/api/link/{token}`` (2.19)."""

KHEOPS_ROUTES: Final = [
    (method, path)
    for line in _TABLE.splitlines()
    for method, _, path in [line.strip().partition(" ")]
    if method.isupper() and method.isalpha()
    for path in [path.strip()]
]
"""Pairs of a method and a path."""

SAMPLES: Final = {
    "album": "AAAAAAAAAA",
    "capability": "BBBBBBBBBB",
    "client": "C" * 22,
    "frame": "1",
    "instance": "1.2.5",
    "path": "7FE00010",
    "series": "1.2.4",
    "study": "1.2.3",
    "user": "somebody%40example.org",
    "webhook": "W" * 20,
}
"""What stands in the place of each parameter."""


def sample_of(path: str) -> str:
    """Return a path with its parameters replaced by samples."""
    return re.sub(r"\{([a-z]+)\}", lambda match: SAMPLES[match[1]], path)
