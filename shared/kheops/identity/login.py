"""Login in the browser: authorization code with PKCE, from the relying party's side, without any web framework.

OpenID Connect Core 3.1, RFC 7636 (PKCE, S256 only), RFC 9207 (``iss`` in the response), RFC 9700, and RP-initiated
logout. `RelyingParty.start` says where to send the browser and what to keep for it until it comes back;
`RelyingParty.finish` takes both and says who logged in.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import httpx
from pydantic import SecretStr

from kheops.clock import Clock
from kheops.clock import now as system_now
from kheops.domain.profiles import Profile
from kheops.errors import IdentityProviderUnavailableError, InvalidTokenError, KheopsError, LoginRefusedError
from kheops.identity.answers import ask
from kheops.identity.issuers import Issuer, IssuerMetadata, Issuers
from kheops.identity.profile import completed, profile_of, role_claims_of
from kheops.identity.signed_claims import SignedClaims, parse_unverified, verify_claims
from kheops.identity.userinfo import fetch_profile
from kheops.observability import get_logger

__all__ = ["AuthorizationResponse", "EndSession", "LoggedIn", "LoginRefusedError", "LoginRequest", "RelyingParty"]

_SECRET_BYTES: Final = 32
"""Random bytes of state, nonce and code verifier; RFC 7636 section 7.1 asks for 32."""
_QUERY_FIELDS: Final = 20
_TYPES: Final = (None, "jwt")

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A login under way. The caller binds it to the browser that began it, secretly, for minutes, for one use."""

    issuer: str
    redirect_uri: str
    url: str = field(repr=False)
    """Where to send the browser."""
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """What the browser brings back to the redirect URI."""

    state: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    iss: str | None = None
    error: str | None = None

    @classmethod
    def from_query(cls, query: str) -> Self:
        """Read the redirect's query string; parameters that mean nothing here are ignored (RFC 6749 section 4.1.2).

        Raises
        ------
        LoginRefusedError
            If a parameter that means something is there twice (RFC 6749 section 3.1), or the query is malformed.
        """
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS)
        except ValueError:
            raise LoginRefusedError("response-malformed") from None
        values: dict[str, str] = {}
        for name, value in pairs:
            if name not in {"state", "code", "iss", "error"}:
                continue
            if name in values:
                raise LoginRefusedError("response-malformed")
            values[name] = value
        return cls(**values)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who logged in. The tokens are for this process alone and never leave it, but for the logout at the issuer."""

    iss: str
    sub: str
    email: str | None
    email_verified: bool
    """By the rules of the issuer: see `kheops.identity.profile`."""
    name: str | None
    claims: Mapping[str, tuple[str, ...]]
    """Values of the claims that roles and groups are read from."""
    session: str | None
    """The issuer's ``sid``, by which it can end the session from its side."""
    expires_at: datetime
    """When the ID token ends; the session's length is the caller's to decide."""
    id_token: str = field(repr=False)
    access_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndSession:
    """A form that a browser sends to its issuer to log out there."""

    method: Literal["get", "post"]
    url: str
    fields: Mapping[str, str] = field(repr=False)


class RelyingParty:
    """Logs browsers in at the trusted issuers.

    Parameters
    ----------
    issuers
        The trusted issuers; those with a ``client_id`` can be logged in at.
    http
        The shared client; see `kheops.identity.control_client`.
    clock
        The current time.
    role_claims
        Names of the claims that roles and groups are read from.
    """

    def __init__(
        self,
        issuers: Issuers,
        http: httpx.AsyncClient,
        clock: Clock = system_now,
        *,
        role_claims: frozenset[str] = frozenset(),
        reveal: Callable[[SecretStr], str] = SecretStr.get_secret_value,
    ) -> None:
        self._issuers = issuers
        self._reveal = reveal
        self._http = http
        self._clock = clock
        self._role_claims = role_claims

    async def start(self, issuer: str, redirect_uri: str) -> LoginRequest:
        """Begin a login.

        Parameters
        ----------
        issuer
            The exact ``iss`` of a trusted issuer at which we are a client.
        redirect_uri
            Where the browser is to come back to; registered at the issuer, character for character.

        Raises
        ------
        LoginRefusedError
            If there is no such issuer (``issuer-unknown``).
        IdentityProviderUnavailableError
            If its addresses cannot be had.
        """
        trusted, client_id = self._client_at(issuer)
        endpoint = _needed((await trusted.metadata()).authorization_endpoint)
        state, nonce, code_verifier = (secrets.token_urlsafe(_SECRET_BYTES) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        url = _with_query(
            endpoint,
            {
                "response_type": "code",
                "client_id": client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(trusted.settings.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            },
        )
        return LoginRequest(issuer, redirect_uri, url, state, nonce, code_verifier)

    async def finish(self, request: LoginRequest, response: AuthorizationResponse) -> LoggedIn:
        """Finish a login: check the response, redeem the code, verify the ID token.

        Parameters
        ----------
        request
            What `start` returned for this very browser, used for the first time.
        response
            What the browser brought back.

        Raises
        ------
        LoginRefusedError
            ``state``, ``iss`` (RFC 9207), ``denied`` or ``issuer-error`` (it answered with an error),
            ``code-missing``, ``code-refused``, ``id-token-missing``, or ``id-token-`` and a reason of
            `kheops.identity.signed_claims.verify_claims`, ``typ``, ``nonce``, ``azp`` or ``at_hash``.
        IdentityProviderUnavailableError
            If the issuer does not answer.
        """
        issuer, client_id = self._client_at(request.issuer)
        metadata = await issuer.metadata()
        code = _checked_code(request, response, metadata)
        tokens = await self._redeem(issuer, client_id, _needed(metadata.token_endpoint), request, code)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise LoginRefusedError("id-token-missing")
        access_token = access_token if isinstance(access_token, str) else None
        try:
            signed = await self._verify_id_token(id_token, issuer, client_id)
            _check_id_token(signed, request.nonce, client_id, access_token)
        except InvalidTokenError as error:
            raise LoginRefusedError(f"id-token-{error.reason}") from None
        profile = await self._profile(issuer, signed, access_token)
        sid = signed.claims.get("sid")
        return LoggedIn(
            iss=signed.iss,
            sub=signed.sub,
            email=profile.email,
            email_verified=profile.email_verified,
            name=profile.name,
            claims=role_claims_of(signed.claims, self._role_claims),
            session=sid if isinstance(sid, str) else None,
            expires_at=signed.expires_at,
            id_token=id_token,
            access_token=access_token,
        )

    async def end_session(self, issuer: str, *, id_token: str, return_to: str) -> EndSession | None:
        """Return what the browser has to send to log out at the issuer too, or ``None`` if it offers no such place.

        OpenID Connect RP-Initiated Logout 1.0 section 2. The ID token tells which session is meant, so that nobody
        has to be asked; it goes into a form only. Where the issuer takes an address, it is left out.

        Parameters
        ----------
        issuer
            The exact ``iss`` at which the person logged in.
        id_token
            Their ID token.
        return_to
            Where the issuer sends the browser afterwards; registered there.

        Raises
        ------
        LoginRefusedError
            If there is no such issuer (``issuer-unknown``).
        IdentityProviderUnavailableError
            If its addresses cannot be had.
        """
        trusted, client_id = self._client_at(issuer)
        endpoint = (await trusted.metadata()).end_session_endpoint
        if endpoint is None:
            return None
        fields = {"client_id": client_id, "post_logout_redirect_uri": return_to}
        if trusted.settings.logout == "get":
            # A form that is sent by GET replaces the query of its address.
            parts = urlsplit(endpoint)
            given = dict(parse_qsl(parts.query, keep_blank_values=True))
            return EndSession("get", urlunsplit(parts._replace(query="")), {**given, **fields})
        return EndSession("post", endpoint, {**fields, "id_token_hint": id_token})

    def _client_at(self, iss: str) -> tuple[Issuer, str]:
        issuer = self._issuers.get(iss)
        if issuer is None or issuer.settings.client_id is None:
            raise LoginRefusedError("issuer-unknown")
        return issuer, issuer.settings.client_id

    async def _verify_id_token(self, text: str, issuer: Issuer, client_id: str) -> SignedClaims:
        unverified = parse_unverified(text)
        if unverified is None:
            raise InvalidTokenError("malformed")
        return await verify_claims(unverified, issuer, audiences=(client_id,), now=self._clock)

    async def _redeem(
        self, issuer: Issuer, client_id: str, endpoint: str, request: LoginRequest, code: str
    ) -> Mapping[str, object]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": request.redirect_uri,
            "code_verifier": request.code_verifier,
        }
        headers: dict[str, str] = {}
        secret = issuer.settings.client_secret
        if secret is None:
            form["client_id"] = client_id
        else:
            # RFC 6749 section 2.3.1: both are form-encoded before they become a user and a password.
            pair = f"{quote_plus(client_id)}:{quote_plus(self._reveal(secret))}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        answer = await ask(self._http, "POST", endpoint, headers=headers, form=form)
        if not answer.ok:
            error = answer.document.get("error")
            known = error if error in ("invalid_grant", "invalid_client", "invalid_request") else None
            _LOG.warning("login.code_refused", issuer=issuer.iss, status=answer.status, error=known)
            raise LoginRefusedError("code-refused")
        return answer.document

    async def _profile(self, issuer: Issuer, signed: SignedClaims, access_token: str | None) -> Profile:
        own = profile_of(signed.claims, issuer.settings)
        if (own.email is not None and own.name is not None) or access_token is None:
            return own
        try:
            asked = await fetch_profile(issuer, self._http, access_token=access_token, sub=signed.sub)
        except InvalidTokenError as error:
            raise LoginRefusedError(error.reason) from None
        except KheopsError:
            # Who they are is known by now; a name and an address can wait for the next login.
            return own
        return own if asked is None else completed(own, asked)


def _checked_code(request: LoginRequest, response: AuthorizationResponse, metadata: IssuerMetadata) -> str:
    if response.state is None or not _same(response.state, request.state):
        raise LoginRefusedError("state")
    # Mix-up defence: an issuer that announces `iss` must send it, and whoever sends one must send the right one.
    expected = {request.issuer} if metadata.sends_iss else {request.issuer, None}
    if response.iss not in expected:
        raise LoginRefusedError("iss")
    if response.error is not None:
        raise LoginRefusedError("denied" if response.error == "access_denied" else "issuer-error")
    if not response.code:
        raise LoginRefusedError("code-missing")
    return response.code


def _check_id_token(signed: SignedClaims, nonce: str, client_id: str, access_token: str | None) -> None:
    claims = signed.claims
    if signed.typ not in _TYPES:
        raise InvalidTokenError("typ")
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not _same(sent, nonce):
        raise InvalidTokenError("nonce")
    audience = claims["aud"]
    several = isinstance(audience, list) and len(audience) > 1
    if claims.get("azp", None if several else client_id) != client_id:
        raise InvalidTokenError("azp")
    if "at_hash" in claims:
        at_hash = claims["at_hash"]
        if access_token is None or not isinstance(at_hash, str):
            raise InvalidTokenError("at_hash")
        if not _same(at_hash, _half_hash(access_token, signed.algorithm)):
            raise InvalidTokenError("at_hash")


def _half_hash(access_token: str, algorithm: str) -> str:
    digest = hashlib.new(f"sha{algorithm[2:]}", access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _needed(endpoint: str | None) -> str:
    if endpoint is None:
        raise IdentityProviderUnavailableError
    return endpoint


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(parameters)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
