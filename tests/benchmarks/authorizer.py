"""What nginx asks by ``auth_request``: our own identification, lookup and decision, and nothing else.

It is the other half of the comparison of `tests.benchmarks.quick`: the least Python that can decide. It records no
use, which our own pixel path must.
"""

from starlette.types import Message, Receive, Scope, Send

from kheops.dicomweb.resources import Frames, SopInstance, parse
from kheops.domain.policy import Denied, Source, read_instance, read_scope
from kheops.domain.resources import InstanceRef
from kheops.errors import UnauthenticatedError
from kheops.factory import close_process, open_process

__all__ = ["app"]

_SCHEME = b"Bearer "


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 204, 401 or 403 (the only refusals that ``auth_request`` passes on)."""
    if scope["type"] == "lifespan":
        await receive()
        await open_process()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await close_process()
        await send({"type": "lifespan.shutdown.complete"})
        return
    status = await _decided(dict(scope["headers"]))
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _decided(headers: dict[bytes, bytes]) -> int:
    process = await open_process()
    authorization = headers.get(b"authorization", b"")
    if not authorization.startswith(_SCHEME):
        return 401
    try:
        principal = await process.authenticator.identify(
            authorization.removeprefix(_SCHEME).decode("ascii"), request_id=""
        )
    except UnauthenticatedError:
        return 401
    path = headers[b"x-original-uri"].partition(b"?")[0].removeprefix(b"/api")
    resource = parse(path)
    if isinstance(resource, Frames):
        resource = resource.instance
    if not isinstance(resource, SopInstance):
        return 403
    ref = InstanceRef(resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)
    reach = read_scope(principal, Source())
    if isinstance(reach, Denied):
        return 403
    facts = await process.lookup.instance(reach, ref.series, ref.sop_instance_uid)
    decision = read_instance(principal, facts.series, facts.confirmed)
    return 403 if isinstance(decision, Denied) else 204
