"""From a compact JWT to claims that an issuer signed (RFC 7515, 7519, 8725).

Every rule is spelled out here; nothing rests on a default of the library. `verify_claims` is the only maker of
`SignedClaims`, so that unverified ones cannot be passed for them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import jwt
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from kheops.errors import InvalidTokenError
from kheops.identity.base64url import decode_base64url
from kheops.identity.issuers import Issuer
from kheops.identity.json_objects import json_object
from kheops.identity.jwks import KeySet

__all__ = ["LEEWAY", "TOKEN_LIMIT", "SignedClaims", "UnverifiedToken", "parse_unverified", "verify_claims"]

LEEWAY: Final = 60
"""Seconds by which an issuer's clock may differ from ours."""
TOKEN_LIMIT: Final = 16 * 1024
"""Characters of a token; longer ones are refused before they are parsed."""

_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")
_SEGMENTS: Final = 3
_SUB_LENGTH: Final = 255
"""OpenID Connect Core section 2: 255 ASCII characters at most."""
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

_REASONS: Final[tuple[tuple[type[jwt.PyJWTError], str], ...]] = (
    (jwt.InvalidSignatureError, "signature"),
    (jwt.InvalidAudienceError, "aud"),
    (jwt.InvalidIssuerError, "iss"),
    (jwt.InvalidKeyError, "key-does-not-fit"),
    (jwt.InvalidAlgorithmError, "alg"),
)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A JWT taken apart. Nothing in it may be believed; it only tells whose keys to try."""

    text: str = field(repr=False)
    header: Mapping[str, object]
    iss: str | None


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """Claims that their issuer signed, for an audience of ours, valid now. Made by `verify_claims` only."""

    iss: str
    sub: str
    expires_at: datetime
    algorithm: str
    typ: str | None
    """The header's ``typ`` in lower case and without ``application/`` (RFC 7515 section 4.1.9)."""
    claims: Mapping[str, object]
    keys: KeySet = field(repr=False)
    """The issuer's keys at that moment; the claims are good as long as these are its keys."""


def parse_unverified(text: str) -> UnverifiedToken | None:
    """Take a compact JWS apart, or return ``None`` if the text is none.

    Header and payload must be in the one spelling that base64url has for them; padding is none of it (RFC 7515).

    Raises
    ------
    InvalidTokenError
        If it is longer than `TOKEN_LIMIT` (``too-long``).
    """
    if len(text) > TOKEN_LIMIT:
        raise InvalidTokenError("too-long")
    segments = text.split(".")
    if len(segments) != _SEGMENTS:
        return None
    header = json_object(decode_base64url(segments[0]) or b"")
    payload = json_object(decode_base64url(segments[1]) or b"")
    if header is None or payload is None:
        return None
    iss = payload.get("iss")
    return UnverifiedToken(text, header, iss if isinstance(iss, str) else None)


async def verify_claims(
    token: UnverifiedToken, issuer: Issuer, *, audiences: Sequence[str], now: Callable[[], datetime]
) -> SignedClaims:
    """Verify signature, issuer, audience, required claims and time.

    The key comes from the issuer's own JWKS and nowhere else: ``jku``, ``jwk``, ``x5u`` and ``x5c`` in the header are
    not looked at (RFC 8725 section 3.10).

    Parameters
    ----------
    token
        What `parse_unverified` returned.
    issuer
        The trusted issuer whose token it claims to be.
    audiences
        Accepted values of ``aud``; one must be in the token.
    now
        The current time.

    Raises
    ------
    InvalidTokenError
        With the reason ``alg``, ``crit``, ``kid-malformed``, ``kid-unknown``, ``kid-missing``, ``kid-ambiguous``,
        ``key-does-not-fit``, ``signature``, ``iss``, ``aud``, ``missing-<claim>``, ``malformed-<claim>``,
        ``expired``, ``not-yet-valid``, ``issued-in-future`` or ``malformed``.
    IdentityProviderUnavailableError
        If the issuer's keys cannot be had and none are kept.
    """
    algorithm, kid = token.header.get("alg"), token.header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.settings.algorithms:
        raise InvalidTokenError("alg")
    if "crit" in token.header or token.header.get("b64", True) is not True:
        raise InvalidTokenError("crit")
    if not isinstance(kid, str | None):
        raise InvalidTokenError("kid-malformed")
    if decode_base64url(token.text.rpartition(".")[2]) is None:
        raise InvalidTokenError("malformed")
    key, keys = await issuer.keys.find(kid, algorithm)
    claims = _decode(token.text, key.key, algorithm, audiences=audiences, issuer=issuer.iss)
    return SignedClaims(
        iss=issuer.iss,
        sub=_sub(claims),
        expires_at=_check_times(claims, now().timestamp()),
        algorithm=algorithm,
        typ=_typ(token.header),
        claims=claims,
        keys=keys,
    )


def _decode(
    text: str, key: AllowedPublicKeys, algorithm: str, *, audiences: Sequence[str], issuer: str
) -> Mapping[str, object]:
    try:
        claims: dict[str, object] = jwt.decode(
            text,
            key,
            # One of the issuer's list, and the key fits it; the caller made sure of both.
            algorithms=[algorithm],
            audience=list(audiences),
            issuer=issuer,
            options={
                "verify_signature": True,
                "enforce_minimum_key_length": True,
                "require": list(_REQUIRED),
                "verify_aud": True,
                "verify_iss": True,
                "verify_sub": True,
                "verify_jti": True,
                # Times are checked below, by our clock.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.MissingRequiredClaimError as error:
        raise InvalidTokenError(f"missing-{error.claim}") from None
    except InvalidSubjectError:
        raise InvalidTokenError("malformed-sub") from None
    except InvalidJTIError:
        raise InvalidTokenError("malformed-jti") from None
    except jwt.PyJWTError as error:
        for kind, reason in _REASONS:
            if isinstance(error, kind):
                raise InvalidTokenError(reason) from None
        raise InvalidTokenError("malformed") from None
    return claims


def _sub(claims: Mapping[str, object]) -> str:
    sub = claims["sub"]
    if not isinstance(sub, str) or not 0 < len(sub) <= _SUB_LENGTH or not sub.isprintable():
        raise InvalidTokenError("malformed-sub")
    return sub


def _check_times(claims: Mapping[str, object], now: float) -> datetime:
    expires = _seconds(claims, "exp")
    if expires <= now - LEEWAY:
        raise InvalidTokenError("expired")
    if "nbf" in claims and _seconds(claims, "nbf") > now + LEEWAY:
        raise InvalidTokenError("not-yet-valid")
    if _seconds(claims, "iat") > now + LEEWAY:
        raise InvalidTokenError("issued-in-future")
    return datetime.fromtimestamp(expires, UTC)


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidTokenError(f"malformed-{name}")
    if not 0 <= value < _LATEST:
        raise InvalidTokenError(f"malformed-{name}")
    return value


def _typ(header: Mapping[str, object]) -> str | None:
    typ = header.get("typ")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else None
