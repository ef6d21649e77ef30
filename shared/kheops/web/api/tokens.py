"""``/token`` and ``/token/introspect``: what viewers and report providers get, and introspection (RFC 7662)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Final

from starlette.responses import JSONResponse, Response

from kheops.domain.report_providers import ASSERTION_TYPE
from kheops.domain.uses import Outcome, Use, UseKind
from kheops.domain.viewer_tokens import ViewerDraft
from kheops.errors import (
    BadRequestError,
    InvalidIdentifierError,
    InvalidTokenError,
    OAuthError,
    PayloadTooLargeError,
    TooManyRequestsError,
    UnsupportedMediaTypeError,
)
from kheops.ids import AlbumId, StudyInstanceUID, album_id, study_instance_uid
from kheops.services.introspection import ActiveToken
from kheops.web.api.answers import json_of
from kheops.web.api.reports import asserting_client, exchange_code
from kheops.web.authentication import authenticate
from kheops.web.call import Call, Form
from kheops.web.declaration import Declaration, Parameter, json_answer
from kheops.web.schema import ALBUM_ID, COUNT, TEXT, UID, either, list_of, one_of, record

__all__ = ["INTROSPECT", "TOKEN", "introspect", "token"]

_CODE: Final = "authorization_code"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type, no password
_STATUSES: Final = {UnsupportedMediaTypeError: 415, PayloadTooLargeError: 413}

TOKEN: Final = Declaration(
    "Exchange a token for a viewer token (RFC 8693), or a report provider's code for its token (RFC 6749)",
    json_answer(
        "The token.",
        record(
            {"access_token": TEXT, "token_type": one_of("bearer"), "expires_in": COUNT, "scope": TEXT},
            {"issued_token_type": one_of(_ACCESS_TOKEN)},
        ),
    ),
    form=(
        Parameter("grant_type", "", one_of(_EXCHANGE, _CODE), required=True),
        Parameter("subject_token", "Goes with a token exchange, as all from here to resource."),
        Parameter("subject_token_type", "", one_of(_ACCESS_TOKEN)),
        Parameter("requested_token_type", "", one_of(_ACCESS_TOKEN)),
        Parameter("scope", "viewer, with read or write or both, separated by spaces."),
        Parameter("studyUID", "The one study that the token is good for.", UID),
        Parameter("source_type", "Where its series come from.", one_of("album", "inbox")),
        Parameter("source_id", "The album; goes with source_type=album.", ALBUM_ID),
        Parameter("audience", "This service."),
        Parameter("resource", "This service."),
        Parameter("code", "Goes with an authorization code, as all from here on."),
        Parameter("redirect_uri", "The one to which the code was sent."),
        Parameter("code_verifier", "RFC 7636, if a challenge went with the request of the report."),
        Parameter("client_id", "The report provider."),
        Parameter("client_assertion", "How it shows that it is itself (RFC 7523)."),
        Parameter("client_assertion_type", "", one_of(ASSERTION_TYPE)),
    ),
    errors=(429,),
    oauth=True,
)
INTROSPECT: Final = Declaration(
    "Introspect a token (RFC 7662)",
    json_answer(
        "What is known of the token; of one that is not good, whatever the reason, that it is not.",
        either(
            record({"active": {"const": False}}),
            record(
                {"active": {"const": True}, "iss": TEXT, "token_type": one_of("bearer")},
                {
                    # Visitors of a link are nobody, and are not told whose link it is.
                    "sub": TEXT,
                    "scope": TEXT,
                    "cap_token": TEXT,
                    "exp": COUNT,
                    "iat": COUNT,
                    "nbf": COUNT,
                    "album_id": ALBUM_ID,
                    "studyUID": either(UID, list_of(UID)),
                    "azp": TEXT,
                    "client_id": TEXT,
                    "aud": TEXT,
                    "redirect_uri": TEXT,
                    "act": record({"sub": TEXT}),
                },
            ),
        ),
    ),
    form=(
        Parameter("token", "", required=True),
        Parameter("token_type_hint", "Of no effect."),
        Parameter("client_id", "A report provider that authenticates itself, if one does."),
        Parameter("client_assertion"),
        Parameter("client_assertion_type", "", one_of(ASSERTION_TYPE)),
    ),
    errors=(401, 403),
    oauth=True,
)

_Handler = Callable[[Call], Awaitable[Response]]


def _in_oauth_words(handler: _Handler) -> _Handler:
    """Let a request that cannot be understood, or is refused, be answered as RFC 6749 section 5.2 says.

    What is no matter of the request (a database that does not answer, too many requests) stays a problem document.
    """

    @wraps(handler)
    async def answered(call: Call) -> Response:
        try:
            return await handler(call)
        except OAuthError as error:
            return _refused(error.error, error.detail, 400)
        except (BadRequestError, UnsupportedMediaTypeError, PayloadTooLargeError) as error:
            return _refused("invalid_request", error.detail, _STATUSES.get(type(error), 400))

    return answered


@_in_oauth_words
async def token(call: Call) -> Response:
    form = await _form(call)
    grant_type = form.required("grant_type")
    if grant_type == _CODE:
        return await exchange_code(call, form)
    if grant_type != _EXCHANGE:
        raise OAuthError("unsupported_grant_type", "Only authorization codes and token exchange are known here.")
    if form.one("client_assertion") is not None or form.one("client_assertion_type") is not None:
        raise OAuthError("invalid_client", "A client authenticates with an authorization code only.")
    draft = _draft(form, call.process.settings.public_url)
    try:
        call.caller = await call.process.authenticator.identify(
            form.required("subject_token"), request_id=call.request_id
        )
    except InvalidTokenError as error:
        raise OAuthError("invalid_request", error.detail) from None
    use = call.use(UseKind.VIEWER_TOKEN_CREATED)
    try:
        opened = await call.process.viewer_tokens.open(call.principal, draft, asked=use)
    except (OAuthError, TooManyRequestsError) as error:
        reason = error.error if isinstance(error, OAuthError) else error.code
        refused = replace(use, outcome=Outcome.REFUSED, reason=reason, studies=(draft.study,))
        await call.process.audit.record(refused)
        raise
    body = {
        "access_token": opened.secret,
        "issued_token_type": _ACCESS_TOKEN,
        "token_type": "bearer",
        "expires_in": int(opened.lifetime.total_seconds()),
        "scope": " ".join(("viewer", *(["read"] if opened.read else []), *(["write"] if opened.write else []))),
    }
    return json_of(body, holds_secret=True)


@_in_oauth_words
async def introspect(call: Call) -> Response:
    form = await _form(call)
    asked_about = form.required("token")
    if form.one("client_assertion") is not None or form.one("client_assertion_type") is not None:
        await asserting_client(call, form)
    introspection = call.process.introspection
    if not introspection.is_open_to_holders(asked_about):
        await authenticate(call)
        introspection.permit(call.principal)
    active = await introspection.inspect(asked_about)
    if active is None:
        return json_of({"active": False}, holds_secret=True)
    await call.process.audit.record(
        Use(
            user=active.user,
            kind=UseKind.TOKEN_INTROSPECTED,
            outcome=Outcome.GRANTED,
            source_address=call.source_address,
            request_id=call.request_id,
        )
    )
    return json_of(_introspected(active, call.process.settings.public_url), holds_secret=True)


async def _form(call: Call) -> Form:
    """Read the form, in which nothing may be given twice, and see how the client authenticates itself.

    A client is public (without ``Authorization``, or with a bearer token), or brings an assertion, which is not looked
    at here. KHEOPS's internal clients (HTTP Basic) do not exist here.
    """
    form = await call.form()
    names = [name for name, _ in form.pairs]
    if len(set(names)) != len(names):
        raise OAuthError("invalid_request", "A parameter is given more than once.")
    authorization = call.request.headers.getlist("authorization")
    asserts = not {"client_assertion", "client_assertion_type"}.isdisjoint(names)
    if len(authorization) + asserts > 1:
        raise OAuthError("invalid_request", "A client authenticates in one way.")
    scheme = authorization[0].partition(" ")[0].lower() if authorization else "bearer"
    if scheme == "basic":
        raise OAuthError("invalid_client", "No client with such a password is known here.")
    if scheme != "bearer":
        raise OAuthError("invalid_request", "The scheme of Authorization is not known here.")
    return form


def _draft(form: Form, public_url: str) -> ViewerDraft:
    words = form.required("scope").split(" ")
    # Refused before anything else is looked at, as KHEOPS does with public clients.
    if "pep" in words:
        raise OAuthError("unauthorized_client", "No client may have such a token here.")
    if "viewer" not in words or set(words) - {"viewer", "read", "write"}:
        raise OAuthError("invalid_scope", "'scope' is viewer, with read or write or both.")
    if form.required("subject_token_type") != _ACCESS_TOKEN:
        raise OAuthError("invalid_request", f"'subject_token_type' must be {_ACCESS_TOKEN}.")
    if form.one("requested_token_type") not in {None, _ACCESS_TOKEN}:
        raise OAuthError("invalid_request", f"'requested_token_type' can only be {_ACCESS_TOKEN}.")
    if form.one("actor_token") is not None or form.one("actor_token_type") is not None:
        raise OAuthError("invalid_request", "'actor_token' is not known here.")
    for name in ("audience", "resource"):
        if form.one(name) not in {None, public_url, f"{public_url}/api"}:
            raise OAuthError("invalid_target", f"'{name}' can only be this service.")
    write = "write" in words
    return ViewerDraft(
        study=_study(form),
        inbox=_source_type(form) == "inbox",
        album=_album(form),
        read="read" in words or not write,
        write=write,
    )


def _study(form: Form) -> StudyInstanceUID:
    try:
        return study_instance_uid(form.required("studyUID"))
    except InvalidIdentifierError:
        raise OAuthError("invalid_request", "'studyUID' is not a valid UID.") from None


def _source_type(form: Form) -> str | None:
    source_type = form.one("source_type")
    if source_type not in {None, "album", "inbox"}:
        raise OAuthError("invalid_request", "'source_type' must be album or inbox.")
    return source_type


def _album(form: Form) -> AlbumId | None:
    if _source_type(form) != "album":
        if form.one("source_id") is not None:
            raise OAuthError("invalid_request", "'source_id' goes with 'source_type=album' only.")
        return None
    try:
        return album_id(form.required("source_id"))
    except InvalidIdentifierError:
        raise OAuthError("invalid_request", "'source_id' is not an album id.") from None


def _introspected(active: ActiveToken, public_url: str) -> dict[str, object]:
    """Return KHEOPS's answer about an active token; what is ``None`` is left out."""
    acting_party = active.user.acting_party
    return {
        "active": True,
        "iss": active.iss or public_url,
        "sub": active.user.sub,
        "token_type": "bearer",
        "scope": None if active.scope is None else " ".join(active.scope),
        "cap_token": active.capability,
        "exp": _seconds(active.expires_at),
        "iat": _seconds(active.issued_at),
        "nbf": _seconds(active.not_before),
        "album_id": active.album,
        "studyUID": _one_or_list(active.studies),
        "azp": active.client,
        "client_id": active.client,
        "aud": None if active.client is None else public_url,
        "redirect_uri": active.redirect_uri,
        "act": None if acting_party is None else {"sub": acting_party},
    }


def _one_or_list(studies: tuple[StudyInstanceUID, ...] | None) -> object:
    """Return the studies of a token as KHEOPS writes them: one as a text, several as a list."""
    return studies[0] if studies is not None and len(studies) == 1 else studies


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _refused(error: str, description: str, status: int) -> Response:
    return JSONResponse(
        {"error": error, "error_description": description}, status, {"Cache-Control": "no-store", "Pragma": "no-cache"}
    )
