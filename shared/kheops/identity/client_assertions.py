"""How a report provider shows that it is itself: ``private_key_jwt`` (RFC 7523, OpenID Connect Core section 9)."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import jwt

from kheops.errors import InvalidIdentifierError, InvalidTokenError
from kheops.identity.jwks import PublicKey
from kheops.identity.signed_claims import LEEWAY, UnverifiedToken, parse_unverified
from kheops.ids import ReportProviderId, report_provider_id

__all__ = ["ASSERTION_ALGORITHM", "Assertion", "claimed_client", "verify_assertion"]

ASSERTION_ALGORITHM: Final = "RS256"
_LONGEST: Final = 600
"""Seconds that an assertion may live, as in KHEOPS."""
_JTI_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion that its client signed, for the endpoint that got it, valid now."""

    client: ReportProviderId
    jti_hash: bytes
    """SHA-256 of its ``jti``, which may be used once."""
    until: datetime
    """When it can be used no longer."""


def claimed_client(text: str) -> tuple[UnverifiedToken, str, ReportProviderId]:
    """Return an assertion taken apart, and the key and client that it names; nothing of it may be believed yet.

    Raises
    ------
    InvalidTokenError
        If it is no JWT of ``RS256`` with a ``kid``, or names no client.
    """
    token = parse_unverified(text)
    if token is None:
        raise InvalidTokenError("assertion-malformed")
    header = token.header
    if header.get("alg") != ASSERTION_ALGORITHM or "crit" in header or header.get("b64", True) is not True:
        raise InvalidTokenError("assertion-alg")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise InvalidTokenError("assertion-kid")
    try:
        return token, kid, report_provider_id(token.iss or "")
    except InvalidIdentifierError:
        raise InvalidTokenError("assertion-iss") from None


def verify_assertion(
    token: UnverifiedToken, client: ReportProviderId, key: PublicKey, *, audience: str, at: datetime
) -> Assertion:
    """Verify signature, client, audience and time of an assertion.

    Parameters
    ----------
    token, client
        What `claimed_client` returned.
    key
        The client's key of the assertion's ``kid``, from the address in its configuration.
    audience
        The address of the endpoint that got the assertion, which must be its one ``aud``.
    at
        The current time.

    Raises
    ------
    InvalidTokenError
        If anything of it is not as it must be: ``aud``, ``iss`` and ``sub``, ``jti``, ``exp`` at most ten minutes
        ahead, the signature.
    """
    try:
        claims: dict[str, object] = jwt.decode(
            token.text,
            key.key,
            algorithms=[ASSERTION_ALGORITHM],
            # A list of audiences would let one of them use the assertion here.
            options={
                "verify_signature": True,
                "enforce_minimum_key_length": True,
                "require": ["exp", "iss", "sub", "aud", "jti"],
                # Checked below: exactly one value, and times by our clock.
                "verify_aud": False,
                "verify_iss": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError:
        raise InvalidTokenError("assertion-signature-or-claims") from None
    if claims["iss"] != client or claims["sub"] != client:
        raise InvalidTokenError("assertion-client")
    if claims["aud"] not in (audience, [audience]):
        raise InvalidTokenError("assertion-aud")
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= _JTI_LENGTH:
        raise InvalidTokenError("assertion-jti")
    until = _until(claims, at.timestamp())
    return Assertion(client, hashlib.sha256(jti.encode()).digest(), datetime.fromtimestamp(until + LEEWAY, UTC))


def _until(claims: Mapping[str, object], now: float) -> float:
    expires = _number(claims["exp"])
    if not now - LEEWAY < expires <= now + _LONGEST + LEEWAY:
        raise InvalidTokenError("assertion-exp")
    for name in ("nbf", "iat"):
        if name in claims and _number(claims[name]) > now + LEEWAY:
            raise InvalidTokenError(f"assertion-{name}")
    return expires


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidTokenError("assertion-time")
    return float(value)
