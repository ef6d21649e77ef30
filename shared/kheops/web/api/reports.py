"""``/report``, ``/userinfo``, and the report provider's part of ``/token``."""

import re
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from kheops.domain.report_providers import ASSERTION_TYPE, REPORT_STUDIES, CodeExchange, ReportDraft
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import (
    BadFormParameterError,
    ForbiddenError,
    InvalidIdentifierError,
    NotFoundError,
    OAuthError,
    ReportProviderNotFoundError,
)
from kheops.ids import ReportProviderId, StudyInstanceUID, report_provider_id, study_instance_uid
from kheops.storage.report_providers import ProviderRecord
from kheops.web.api.answers import PERSON, json_of, person_json
from kheops.web.api.parameters import form_of, query_of
from kheops.web.call import Call, Form
from kheops.web.declaration import Answer, Declaration, Parameter, json_answer
from kheops.web.schema import TEXT, UID, one_of, text

__all__ = ["REPORT", "USERINFO", "asserting_client", "exchange_code", "report", "userinfo"]

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""SHA-256 in base64url (RFC 7636 section 4.2)."""
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
"""RFC 7636 section 4.1."""

REPORT: Final = Declaration(
    "Hand studies of an album to one of its report providers",
    {303: Answer("The browser goes on to the provider.", headers={"Location": TEXT})},
    form=(
        Parameter("access_token", "Of the person, or a capability token of user scope.", required=True),
        Parameter("client_id", "The provider.", text(pattern="^[A-Za-z0-9]{22}$"), required=True),
        Parameter("studyUID", "A study of the album.", UID, required=True, repeated=True),
        Parameter("code_challenge", "RFC 7636; the provider must then bring the verifier."),
        Parameter("code_challenge_method", "Goes with code_challenge.", one_of("S256")),
    ),
    errors=(401, 403, 404, 429, 502),
)
USERINFO: Final = Declaration("Tell a report provider who asked for the report", json_answer("The person.", PERSON))


async def report(call: Call) -> Response:
    form = await form_of(call)
    draft = _draft(form)
    token = form.required("access_token")
    provider = _provider(form.required("client_id"))
    call.caller = await call.process.authenticator.identify(token, request_id=call.request_id)
    use = call.use(UseKind.REPORT_REQUESTED)
    try:
        if provider is None:
            raise ReportProviderNotFoundError
        destination = await call.process.reports.request(call.principal, provider, draft, asked=use)
    except (ForbiddenError, NotFoundError) as error:
        refused = replace(use, outcome=Outcome.REFUSED, reason=error.code, studies=draft.studies, subject=provider)
        await call.process.audit.record(refused)
        raise
    # 303 and no page: our answers are sandboxed, where a page's meta refresh goes nowhere.
    return Response(status_code=303, headers={"Location": destination.url, "Cache-Control": "no-store"})


async def userinfo(call: Call) -> Response:
    query_of(call)
    return json_of(person_json(await call.process.reports.userinfo(call.principal)))


async def asserting_client(call: Call, form: Form) -> ProviderRecord:
    """Return the report provider that authenticates itself at this endpoint; raise `OAuthError` if none does."""
    if form.one("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_client", f"'client_assertion_type' must be {ASSERTION_TYPE}.")
    audience = f"{call.process.settings.public_url}/api{call.path}"
    return await call.process.reports.client(
        form.required("client_assertion"), client_id=form.required("client_id"), audience=audience
    )


async def exchange_code(call: Call, form: Form) -> Response:
    """Answer ``grant_type=authorization_code`` (RFC 6749 section 4.1.3)."""
    exchange = CodeExchange(
        code=form.required("code"), redirect_uri=form.required("redirect_uri"), code_verifier=_verifier(form)
    )
    provider = await asserting_client(call, form)
    use = Use(
        user=User(None, None, None),
        kind=UseKind.REPORT_TOKEN_CREATED,
        outcome=Outcome.GRANTED,
        source_address=call.source_address,
        request_id=call.request_id,
        subject=provider.provider,
    )
    try:
        issued = await call.process.reports.exchange(provider, exchange, asked=use)
    except OAuthError as error:
        await call.process.audit.record(replace(use, outcome=Outcome.REFUSED, reason=error.error))
        raise
    body = {
        "access_token": issued.secret,
        "token_type": "bearer",
        "expires_in": int(issued.lifetime.total_seconds()),
        "scope": " ".join((*(["read"] if issued.read else []), *(["write"] if issued.write else []))),
    }
    return json_of(body, holds_secret=True)


def _draft(form: Form) -> ReportDraft:
    texts = tuple(dict.fromkeys(form.all("studyUID")))
    if not texts or len(texts) > REPORT_STUDIES:
        raise BadFormParameterError(f"'studyUID' must be given once at least, and {REPORT_STUDIES} times at most.")
    return ReportDraft(studies=tuple(map(_study, texts)), code_challenge=_challenge(form))


def _study(uid: str) -> StudyInstanceUID:
    try:
        return study_instance_uid(uid)
    except InvalidIdentifierError:
        raise BadFormParameterError("'studyUID' is not a valid UID.") from None


def _challenge(form: Form) -> str | None:
    challenge, method = form.one("code_challenge"), form.one("code_challenge_method")
    if challenge is None and method is None:
        return None
    if challenge is None or method != "S256" or _CHALLENGE.fullmatch(challenge) is None:
        raise BadFormParameterError("'code_challenge' goes with 'code_challenge_method=S256'.")
    return challenge


def _verifier(form: Form) -> str | None:
    verifier = form.one("code_verifier")
    if verifier is not None and _VERIFIER.fullmatch(verifier) is None:
        raise OAuthError("invalid_grant", "'code_verifier' is malformed.")
    return verifier


def _provider(client_id: str) -> ReportProviderId | None:
    try:
        return report_provider_id(client_id)
    except InvalidIdentifierError:
        # As for an id that nothing has: what cannot exist does not exist.
        return None
