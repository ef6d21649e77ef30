"""The public keys of an issuer (RFC 7517): which are taken, how long they are trusted, when they are fetched again.

A key that its issuer removes stops being trusted within `KEYS_TTL`. A key that it adds is taken at the first token
that names it, unless an unknown name has caused a fetch less than `COOL_DOWN` ago. While the issuer does not answer,
its last keys are used for `KEYS_STALE` more.
"""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from kheops.clock import monotonic as system_monotonic
from kheops.errors import IdentityProviderUnavailableError, InvalidTokenError
from kheops.identity.kept import Kept
from kheops.observability import get_logger
from kheops.telemetry.signals import Count, count

__all__ = ["COOL_DOWN", "KEYS_STALE", "KEYS_TTL", "IssuerKeys", "KeySet", "PublicKey", "parse_jwks"]

KEYS_TTL: Final = 300.0
"""Seconds after which keys are fetched again; a removed key is trusted no longer than this."""
KEYS_STALE: Final = 3600.0
"""Seconds beyond `KEYS_TTL` for which keys are used while their issuer does not answer."""
COOL_DOWN: Final = 30.0
"""Seconds after a fetch caused by an unknown ``kid`` in which another unknown one causes none."""

_MAX_KEYS: Final = 100
_RSA_BITS: Final = range(2048, 8193)
"""RFC 7518 section 3.3 asks for 2048 at least; verifying with giant keys would cost a caller nothing and us much."""
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may verify signatures."""

    kid: str | None
    algorithm: str | None
    """The only algorithm that its issuer allows it for, if it says so."""
    thumbprint: str
    """RFC 7638; what makes two keys the same."""
    key: RSAPublicKey | EllipticCurvePublicKey = field(compare=False, repr=False)

    def fits(self, algorithm: str) -> bool:
        """Return whether the key may verify ``algorithm``: by its type, its curve and its own ``alg``."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        if isinstance(self.key, EllipticCurvePublicKey):
            return _CURVES.get(algorithm) == self.key.curve.name
        return algorithm.startswith(("RS", "PS"))


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer as of one fetch. Equal sets hold the same keys under the same names."""

    keys: tuple[PublicKey, ...]

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key named ``kid`` for ``algorithm``, or ``None``.

        Without a ``kid`` the one fitting key is meant (OpenID Connect Core 10.1).

        Raises
        ------
        InvalidTokenError
            If a key of that name exists but does not fit the algorithm (``key-does-not-fit``), if several fit
            (``kid-ambiguous``), or if there is no ``kid`` and not exactly one key fits (``kid-missing``).
        """
        named = [key for key in self.keys if kid is None or key.kid == kid]
        fitting = [key for key in named if key.fits(algorithm)]
        if len(fitting) == 1:
            return fitting[0]
        if kid is None:
            raise InvalidTokenError("kid-missing")
        if fitting:
            raise InvalidTokenError("kid-ambiguous")
        if named:
            raise InvalidTokenError("key-does-not-fit")
        return None


def parse_jwks(document: Mapping[str, object]) -> KeySet:
    """Return the usable keys of a JWK Set.

    Keys for encryption, symmetric and private ones, RSA keys under 2048 or over 8192 bits, other types and malformed
    keys are left out, with a warning in the log where that cannot be on purpose.

    Raises
    ------
    IdentityProviderUnavailableError
        If the document is no JWK Set, or has more than a hundred keys.
    """
    members = document.get("keys")
    if not isinstance(members, list) or len(members) > _MAX_KEYS:
        _LOG.warning("jwks.malformed")
        raise IdentityProviderUnavailableError
    keys = []
    for position, member in enumerate(members):
        try:
            key = _parse_key(member)
        except _UnusableKeyError as error:
            _LOG.warning("jwks.key_left_out", position=position, why=str(error))
        else:
            keys.extend([] if key is None else [key])
    return KeySet(tuple(keys))


class _UnusableKeyError(Exception):
    pass


def _parse_key(member: object) -> PublicKey | None:
    if not isinstance(member, dict):
        raise _UnusableKeyError("no object")
    kid, use, operations, algorithm = (member.get(name) for name in ("kid", "use", "key_ops", "alg"))
    if use not in (None, "sig") or (operations is not None and "verify" not in _strings(operations)):
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        raise _UnusableKeyError("kid or alg is no string")
    key = _public_key(member)
    if key is None:
        raise _UnusableKeyError("malformed, private, or of a type that is not accepted")
    if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
        raise _UnusableKeyError("RSA of a size that is not accepted")
    return PublicKey(kid, algorithm, _thumbprint(member), key)


def _public_key(member: Mapping[str, object]) -> RSAPublicKey | EllipticCurvePublicKey | None:
    try:
        match member.get("kty"):
            case "RSA":
                rsa = RSAAlgorithm.from_jwk(dict(member))
                return rsa if isinstance(rsa, RSAPublicKey) else None
            case "EC":
                curve = ECAlgorithm.from_jwk(dict(member))
                return curve if isinstance(curve, EllipticCurvePublicKey) else None
            case _:
                return None
    except (PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _thumbprint(member: Mapping[str, object]) -> str:
    required = {name: member.get(name) for name in ("crv", "e", "kty", "n", "x", "y") if name in member}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _strings(value: object) -> list[object]:
    return value if isinstance(value, list) else []


class IssuerKeys:
    """The keys of one issuer, kept up to date.

    Parameters
    ----------
    fetch
        Brings the issuer's JWK Set; raises `IdentityProviderUnavailableError` if it cannot.
    issuer
        Name for the log.
    stale
        Seconds beyond `KEYS_TTL` for which keys are used while they cannot be fetched.
    monotonic
        Seconds that never go back.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, object]]],
        *,
        issuer: str,
        stale: float = KEYS_STALE,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        async def fetch_keys() -> KeySet:
            try:
                keys = parse_jwks(await fetch())
            except IdentityProviderUnavailableError:
                count(Count.KEY_FETCHES, outcome="failed")
                raise
            count(Count.KEY_FETCHES, outcome="fetched")
            return keys

        self._kept = Kept(fetch_keys, what=f"keys of {issuer}", ttl=KEYS_TTL, stale=stale, monotonic=monotonic)
        self._monotonic = monotonic
        self._renewed_at = float("-inf")

    @property
    def fetches(self) -> int:
        """How often the keys were asked for; for tests and metrics."""
        return self._kept.fetches

    def at_hand(self) -> KeySet | None:
        """Return the keys if they are fresh and no fetch is due; never waits."""
        return self._kept.at_hand()

    async def current(self) -> KeySet:
        """Return the keys trusted now.

        Raises
        ------
        IdentityProviderUnavailableError
            If they cannot be had and none are kept.
        """
        return await self._kept.get()

    async def find(self, kid: str | None, algorithm: str) -> tuple[PublicKey, KeySet]:
        """Return the key for a token's header, and the set that it was found in.

        Raises
        ------
        InvalidTokenError
            If the issuer has no such key (``kid-unknown``), or as `KeySet.find` says.
        IdentityProviderUnavailableError
            If keys cannot be had and none are kept, or if the key is unknown and the issuer cannot be asked.
        """
        fetched_before = self._kept.fetched_at
        keys = await self._kept.get()
        key = keys.find(kid, algorithm)
        if key is None and self._kept.fetched_at == fetched_before:
            keys = await self._renewed()
            key = keys.find(kid, algorithm)
        if key is None:
            raise InvalidTokenError("kid-unknown")
        return key, keys

    async def _renewed(self) -> KeySet:
        if not self._kept.fetching:
            if self._monotonic() - self._renewed_at < COOL_DOWN:
                raise InvalidTokenError("kid-unknown")
            self._renewed_at = self._monotonic()
        try:
            return await self._kept.renew()
        except IdentityProviderUnavailableError:
            # A failure has its own back-off; the cool-down is for issuers that answered.
            self._renewed_at = float("-inf")
            raise
