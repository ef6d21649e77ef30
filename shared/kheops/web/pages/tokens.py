"""A short-lived token, and what to do with it."""

from datetime import timedelta
from typing import Final

from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.principals import CapabilityPermissions
from kheops.domain.uses import UseKind
from kheops.services.sessions import Session
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.document import page
from kheops.web.pages.gate import parameters
from kheops.web.pages.studies import find_studies
from kheops.web.sessions_forms import posted_form

__all__ = ["make_token", "token"]

_LIFETIME: Final = timedelta(hours=1)
_PERMISSIONS: Final = CapabilityPermissions(read=True, write=True, appropriate=False, download=False)
_SOME_STUDY: Final = "STUDY_INSTANCE_UID"
"""Stands in the line for retrieving where somebody has no study yet."""


async def token(call: Call, session: Session) -> AsgiResponse:
    parameters(call)
    return page(call, "token.html", {}, session=session)


async def make_token(call: Call, session: Session) -> AsgiResponse:
    await posted_form(call, session)
    at = call.process.clock()
    draft = CapabilityDraft(
        title="From the web page, for an hour",
        album=None,
        permissions=_PERMISSIONS,
        not_before=at,
        expires_at=at + _LIFETIME,
    )
    asked = call.use(UseKind.CAPABILITY_CREATED)
    # Asked first: the secret is shown once, and must not be lost to a page that fails.
    newest = await find_studies(call, session, rows=1)
    created = await call.process.capabilities.create(session.person, draft, asked=asked)
    values = {
        "secret": created.secret,
        "expires_at": draft.expires_at,
        "api": f"{call.process.settings.public_url}/api",
        "study": newest.found[0]["StudyInstanceUID"] if newest.found else _SOME_STUDY,
        "has_study": bool(newest.found),
    }
    return page(call, "token_made.html", values, session=session)
