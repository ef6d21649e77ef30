"""The routes of Google's own services: notifications of the store, and scheduled work. No person has one here."""

from typing import Final

from kheops.composition.background import SECRETS_READ
from kheops.errors import InvalidTokenError, MissingCredentialsError, RouteNotFoundError
from kheops.factory import Process, open_process
from kheops.web.call import AsgiResponse, Call
from kheops.web.events.notifications import notified
from kheops.web.events.tasks import run
from kheops.web.routing import Route, RouteTable

__all__ = ["TABLE", "dispatch", "open_events"]

TABLE: Final = RouteTable(
    (
        Route(("POST",), "/", notified),
        Route(("POST",), "/tasks/{task}", run),
    )
)


async def open_events() -> Process:
    """Return the process object, if its settings say who may call.

    Raises
    ------
    ConfigurationError
        If they do not, or are unsafe.
    DatabaseUnavailableError
        If the database does not answer or is behind.
    """
    process = await open_process(reads=SECRETS_READ)
    _ = process.invocations
    return process


async def dispatch(call: Call) -> AsgiResponse:
    """Answer a call of one of the service accounts that may call; anybody else learns not even which paths there are.

    Raises
    ------
    MissingCredentialsError
        If there is no bearer token.
    InvalidTokenError
        If it is not of one of those accounts, for us, and valid now.
    RouteNotFoundError
        If there is no such path.
    MethodNotAllowedError
        If it is not POST.
    """
    await call.process.invocations.verify(_bearer(call))
    # Below /api the entry has taken the prefix off: `/api/tasks/purge` must not be `/tasks/purge`.
    if call.below_api:
        raise RouteNotFoundError
    route, call.params = TABLE.find(call.method, call.path)
    call.template = route.template
    return await route.handler(call)


def _bearer(call: Call) -> str:
    """Return the token; only ``Authorization: Bearer`` (RFC 6750), which is what Google sends."""
    values = call.request.headers.getlist("authorization")
    if not values:
        raise MissingCredentialsError
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer":
        raise InvalidTokenError("authorization-scheme")
    return token.strip()
