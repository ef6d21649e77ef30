"""Forms of our own pages, told from forms that another site makes a browser send."""

import hmac
from typing import Final

from kheops.errors import ForbiddenError
from kheops.services.sessions import Session
from kheops.web.call import Call, Form
from kheops.web.sessions import public_origin

__all__ = ["FORM_TOKEN", "posted_form", "require_own_origin"]

FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
_WORDS: Final = "This form did not come from our own page, or your session has changed. Open the page again."


async def posted_form(call: Call, session: Session) -> Form:
    """Return the form that a page of this session posted.

    Parameters
    ----------
    call
        The request.
    session
        The session that its cookie stands for.

    Raises
    ------
    ForbiddenError
        Unless it was sent from our own origin and carries the session's form token.
    KheopsError
        As `kheops.web.call.Call.form` raises them.
    """
    require_own_origin(call)
    form = await call.form()
    token = form.one(FORM_TOKEN) or ""
    if not hmac.compare_digest(token.encode(), session.form_token.encode()):
        raise ForbiddenError(_WORDS)
    return form


def require_own_origin(call: Call) -> None:
    """Refuse what another site made the browser send.

    Raises
    ------
    ForbiddenError
        Unless ``Origin`` is our own, and ``Sec-Fetch-Site``, where the browser sends it, says so too.
    """
    headers = call.request.headers
    own = headers.getlist("origin") == [public_origin(call.process.settings.public_url)]
    if not own or headers.getlist("sec-fetch-site") not in ([], ["same-origin"]):
        raise ForbiddenError(_WORDS)
