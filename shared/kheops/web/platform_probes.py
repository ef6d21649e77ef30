"""The probes that the platform sends to each service, straight to its port.

They are answered before anything is routed, so that every service has them, under either way of starting it. From
outside, the load balancer sends both paths to the pages, its default: they tell anybody what ``/api/liveness`` and
``/api/readiness`` tell anybody.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.storage.schema import check_schema
from kheops.web.call import AsgiResponse
from kheops.web.opening import Opening

__all__ = ["LIVENESS", "READINESS", "probe_answer"]

_LOG = get_logger(__name__)

LIVENESS: Final = "/liveness"
"""Answered by a process whose event loop turns: needs no settings, no database and no store."""
READINESS: Final = "/readiness"
"""Answered with 200 by a process that has opened, and whose database may be served, answers, and has this version's
schema."""
_METHODS: Final = frozenset({"GET", "HEAD"})
_FRESH: Final = {"Cache-Control": "no-store"}


async def probe_answer(request: Request, opening: Opening) -> AsgiResponse | None:
    """Return the answer to a probe: 200 or 503, without a body; ``None`` for any other request.

    Parameters
    ----------
    request
        The request.
    opening
        Opens the process object, as far as the probe asks for it.
    """
    path = request.scope["path"]
    if request.method not in _METHODS or path not in {LIVENESS, READINESS}:
        return None
    if path == READINESS:
        try:
            process = await opening()
            await process.serving.refuse_while_restoring()
            await process.database.run(check_schema)
        except KheopsError as error:
            _LOG.warning("process.not_ready", error=type(error).__name__)
            return Response(status_code=503, headers=_FRESH)
    return Response(status_code=200, headers=_FRESH)
