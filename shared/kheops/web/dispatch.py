"""Running a handler: authentication before anything else, and a record of every refusal."""

from collections.abc import Callable
from dataclasses import replace

from kheops.domain.uses import Outcome, Use
from kheops.errors import ForbiddenError, NotFoundError
from kheops.web.authentication import authenticate
from kheops.web.call import AsgiResponse, Call, Handler
from kheops.web.routing import RouteTable

__all__ = ["dispatch_table", "run"]


async def run(call: Call, handler: Handler, asked: Use | Callable[[], Use]) -> AsgiResponse:
    """Run ``handler`` for an identified caller; commit a refusal to the audit trail before it is answered.

    Parameters
    ----------
    call
        The request, whose caller is known.
    handler
        What answers.
    asked
        The use as asked for: the UIDs of the path, whether they exist or not. A function is called for a refusal
        only.
    """
    try:
        return await handler(call)
    except (ForbiddenError, NotFoundError) as error:
        use = asked if isinstance(asked, Use) else asked()
        refused = replace(use, outcome=Outcome.REFUSED, reason=error.code)
        await call.process.audit.record(refused)
        raise


async def dispatch_table(table: RouteTable, call: Call) -> AsgiResponse:
    """Find the route of ``call`` in a table of templates, identify the caller unless it is public, and run it."""
    route, params = table.find(call.method, call.path)
    call.params = params
    call.template = route.template
    call.declared = route.declared
    if route.public:
        return await route.handler(call)
    await authenticate(call)
    subject = params.get("album") or params.get("capability") or params.get("link") or params.get("user")
    asked = replace(call.use(route.kind), subject=subject)
    response = await run(call, route.handler, asked)
    if route.reads:
        await call.process.audit.record(call.asked or asked)
    return response
