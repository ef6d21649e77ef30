"""Before a page: who is there, and where they go to log in."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError, ForbiddenError
from kheops.services.sessions import Session
from kheops.web.call import AsgiResponse, Call, Handler
from kheops.web.dispatch import run
from kheops.web.pages.document import redirect
from kheops.web.sessions import current_session

__all__ = ["Page", "local_path", "parameters", "signed_in"]

Page = Callable[[Call, Session], Awaitable[AsgiResponse]]
"""A page of somebody who is logged in."""

_LOCAL_PATH: Final = re.compile(r"/(?:[A-Za-z0-9][A-Za-z0-9/._-]*)?(?:\?[A-Za-z0-9=&._-]*)?", re.ASCII)
"""Never `//` or `/\\` at the start, which browsers take for another host."""
_LONGEST_PATH: Final = 500


def signed_in(page: Page, kind: UseKind) -> Handler:
    """Return a handler that shows ``page`` to who is logged in, and sends anybody else to log in first.

    Parameters
    ----------
    page
        The page.
    kind
        How the audit trail names a refusal of it; what it shows, it records itself.
    """

    async def handler(call: Call) -> AsgiResponse:
        session = await current_session(call)
        if session is None:
            return _to_log_in(call)
        call.caller = session.person
        asked = replace(call.use(kind), subject=call.params.get("album"))
        return await run(call, partial(_shown, page=page, session=session), asked)

    return handler


async def _shown(call: Call, *, page: Page, session: Session) -> AsgiResponse:
    return await page(call, session)


def local_path(text: str) -> str:
    """Return ``text`` if it is a path of ours, to which a browser may be sent.

    Raises
    ------
    BadQueryParameterError
        If it could lead anywhere else.
    """
    if len(text) > _LONGEST_PATH or _LOCAL_PATH.fullmatch(text) is None:
        raise BadQueryParameterError("'return_to' must be a path of this site.")
    return text


def parameters(call: Call, *names: str) -> dict[str, str]:
    """Return the query's parameters.

    Raises
    ------
    BadQueryParameterError
        If one is not among ``names``, or is given twice.
    """
    found: dict[str, str] = {}
    for name, value in call.query():
        if name not in names:
            raise BadQueryParameterError("This page does not know one of the parameters in its address.")
        if name in found:
            raise BadQueryParameterError(f"'{name}' is given more than once.")
        found[name] = value
    return found


def _to_log_in(call: Call) -> AsgiResponse:
    if call.method not in {"GET", "HEAD"}:
        raise ForbiddenError("You are not logged in, or no longer. Log in and try again.")
    query = call.request.scope["query_string"].decode("latin-1")
    wanted = f"{call.path}?{query}" if query else call.path
    try:
        return redirect(f"/?return_to={quote(local_path(wanted), safe='')}")
    except BadQueryParameterError:
        return redirect("/")
