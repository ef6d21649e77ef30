"""OpenID Connect access tokens: whose they are, and whether they are good (RFC 9068, RFC 8725)."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sys import getsizeof
from typing import Final

import httpx

from kheops.clock import Clock
from kheops.clock import monotonic as system_monotonic
from kheops.clock import now as system_now
from kheops.config import IssuerSettings
from kheops.errors import InvalidTokenError
from kheops.identity.issuers import Issuer, Issuers
from kheops.identity.jwks import KeySet
from kheops.identity.profile import profile_of, role_claims_of
from kheops.identity.signed_claims import SignedClaims, parse_unverified, verify_claims

__all__ = ["CACHE_BYTES", "CACHE_SECONDS", "CACHE_SIZE", "AccessTokenVerifier", "VerifiedToken"]

CACHE_SECONDS: Final = 300.0
"""Seconds for which a verified token is not verified again, if it does not expire before."""
CACHE_SIZE: Final = 10_000
"""Verified tokens kept per process. Only good tokens get in, so that junk cannot drive them out."""
CACHE_BYTES: Final = 16 * 1024 * 1024
"""What they may weigh together: a token that lists 200 groups takes twenty times as much as one without."""
_WEIGHT: Final = 1024
"""Bytes of a verified token without the values of its claims (measured)."""

_ID_TOKEN_CLAIMS: Final = ("nonce", "at_hash", "c_hash")
"""OpenID Connect Core section 2 and 3.3.2.11: claims of ID tokens, which no access token carries."""
_TYPES: Final = (None, "jwt", "at+jwt")
"""Header ``typ`` of access tokens; other kinds of JWT name themselves otherwise (RFC 8725 section 3.11)."""
_PAYLOAD_TYPES: Final = (None, "bearer")
"""Payload ``typ``, by which Keycloak tells its access tokens from its ID, refresh and logout tokens."""
_TOKEN_ID_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """An access token of a trusted issuer, verified for this moment.

    A person is ``(iss, sub)``; everything else may be missing, may change, and identifies nobody.
    """

    iss: str
    sub: str
    token_id: str
    """Its ``jti``, or ``sha256:`` and the first sixteen hexadecimal digits of its digest; never the token."""
    expires_at: datetime
    acting_party: str | None
    """``act.sub`` (RFC 8693 section 4.1): who acts in the person's place; to be recorded, grants nothing."""
    email: str | None
    email_verified: bool
    """By the rules of the issuer: see `kheops.identity.profile`."""
    name: str | None
    claims: Mapping[str, tuple[str, ...]]
    """Values of the claims that roles and groups are read from."""
    issued_at: datetime | None = None
    """Its ``iat``."""


@dataclass(frozen=True, slots=True)
class _Known:
    token: VerifiedToken
    issuer: Issuer
    keys: KeySet = field(repr=False)
    until: float
    weight: int
    """Bytes that it takes, about."""


class AccessTokenVerifier:
    """Verifies access tokens of the trusted issuers.

    Parameters
    ----------
    issuers
        The trusted issuers, the default one first.
    http
        The shared client; see `kheops.identity.control_client`.
    clock
        The current time.
    role_claims
        Names of the claims that roles and groups are read from; see `kheops.identity.profile.role_claims_of`.
    monotonic
        Seconds that never go back.
    """

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        http: httpx.AsyncClient,
        clock: Clock = system_now,
        *,
        role_claims: frozenset[str] = frozenset(),
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self.issuers = Issuers(issuers, http, monotonic=monotonic)
        """The trusted issuers with their keys, to be shared with userinfo and login."""
        self._role_claims = role_claims
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._weight = 0

    async def verify(self, token: str) -> VerifiedToken | None:
        """Return what the token says, or ``None`` if it is no token of a trusted issuer: somebody else's to judge.

        Parameters
        ----------
        token
            The credential as sent.

        Raises
        ------
        InvalidTokenError
            If it claims to be a trusted issuer's and is not good. Reasons are those of
            `kheops.identity.signed_claims.verify_claims` and ``typ``, ``not-an-access-token``, ``id-token``,
            ``event-token``, ``sender-constrained``, ``malformed-act``.
        IdentityProviderUnavailableError
            If the keys of its issuer cannot be had and none are kept.
        """
        # A lone surrogate cannot come from the wire, but must not become an error of its own here.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None:
            if await self._still_good(known):
                # Others may have driven it out while the keys were awaited.
                if digest in self._known:
                    self._known.move_to_end(digest)
                return known.token
            self._forget(digest)
        unverified = parse_unverified(token)
        issuer = None if unverified is None or unverified.iss is None else self.issuers.get(unverified.iss)
        if unverified is None or issuer is None:
            return None
        signed = await verify_claims(unverified, issuer, audiences=issuer.settings.audiences, now=self._clock)
        _require_access_token(signed, issuer.settings)
        verified = self._verified(signed, issuer.settings, digest)
        self._keep(digest, _Known(verified, issuer, signed.keys, self._monotonic() + CACHE_SECONDS, _weight(verified)))
        return verified

    async def _still_good(self, known: _Known) -> bool:
        if self._monotonic() >= known.until or self._clock() >= known.token.expires_at:
            return False
        keys = known.issuer.keys.at_hand() or await known.issuer.keys.current()
        return keys is known.keys

    def _keep(self, digest: bytes, known: _Known) -> None:
        at = self._monotonic()
        while self._known and next(iter(self._known.values())).until <= at:
            self._forget(next(iter(self._known)))
        self._forget(digest)
        self._known[digest] = known
        self._weight += known.weight
        while len(self._known) > CACHE_SIZE or self._weight > CACHE_BYTES:
            self._forget(next(iter(self._known)))

    def _forget(self, digest: bytes) -> None:
        known = self._known.pop(digest, None)
        if known is not None:
            self._weight -= known.weight

    def _verified(self, signed: SignedClaims, settings: IssuerSettings, digest: bytes) -> VerifiedToken:
        profile = profile_of(signed.claims, settings)
        return VerifiedToken(
            iss=signed.iss,
            sub=signed.sub,
            token_id=_token_id(signed.claims, digest),
            expires_at=signed.expires_at,
            acting_party=_acting_party(signed.claims),
            email=profile.email,
            email_verified=profile.email_verified,
            name=profile.name,
            claims=role_claims_of(signed.claims, self._role_claims),
            issued_at=_issued_at(signed.claims),
        )


def _weight(token: VerifiedToken) -> int:
    # Eight bytes of each are the pointer in its tuple.
    return _WEIGHT + sum(getsizeof(value) + 8 for values in token.claims.values() for value in values)


def _require_access_token(signed: SignedClaims, settings: IssuerSettings) -> None:
    claims = signed.claims
    if any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise InvalidTokenError("id-token")
    if signed.typ not in _TYPES:
        raise InvalidTokenError("typ")
    payload_typ = claims.get("typ")
    if (payload_typ.lower() if isinstance(payload_typ, str) else payload_typ) not in _PAYLOAD_TYPES:
        raise InvalidTokenError("typ")
    # Security event and logout tokens (RFC 8417) share key, issuer and audience with access tokens.
    if "events" in claims:
        raise InvalidTokenError("event-token")
    # Bound to a key that we do not ask for (RFC 8705, RFC 9449): as a plain bearer token it would be the weaker one.
    if "cnf" in claims:
        raise InvalidTokenError("sender-constrained")
    if settings.access_token_typ is not None and signed.typ != _short_typ(settings.access_token_typ):
        raise InvalidTokenError("not-an-access-token")
    if settings.access_token_claim is not None and claims.get(settings.access_token_claim) is None:
        raise InvalidTokenError("not-an-access-token")
    if any(name in claims for name in settings.id_token_claims):
        raise InvalidTokenError("id-token")


def _issued_at(claims: Mapping[str, object]) -> datetime | None:
    iat = claims.get("iat")
    return datetime.fromtimestamp(iat, UTC) if isinstance(iat, int | float) else None


def _short_typ(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def _acting_party(claims: Mapping[str, object]) -> str | None:
    if "act" not in claims:
        return None
    act = claims["act"]
    sub = act.get("sub") if isinstance(act, dict) else None
    if not isinstance(sub, str) or not 0 < len(sub) <= _TOKEN_ID_LENGTH or not sub.isprintable():
        raise InvalidTokenError("malformed-act")
    return sub


def _token_id(claims: Mapping[str, object], digest: bytes) -> str:
    jti = claims.get("jti")
    if isinstance(jti, str) and 0 < len(jti) <= _TOKEN_ID_LENGTH and jti.isprintable():
        return jti
    return f"sha256:{digest.hex()[:16]}"
