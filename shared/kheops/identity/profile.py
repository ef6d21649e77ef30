"""What an issuer says of a person besides who it is: e-mail address, name, roles and groups.

None of it identifies anybody; a person is known by (iss, sub) only. An address counts as verified only by the rules
that the installation set for its issuer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kheops.config import IssuerSettings

__all__ = ["Profile", "profile_of", "role_claims_of"]

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@([^\s@\x00-\x1f\x7f]{1,253})")
_EMAIL_LENGTH: Final = 254
"""Characters; RFC 5321 section 4.5.3.1 leaves no room for more."""
_NAME_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Profile:
    """What an issuer says of a person.

    ``email_verified`` is true only if the issuer says so, or is trusted without saying so, *and* may vouch for the
    address's domain. Only then may anybody be found by the address.
    """

    email: str | None
    email_verified: bool
    name: str | None


def profile_of(claims: Mapping[str, object], settings: IssuerSettings) -> Profile:
    """Return the profile in verified claims, or in a userinfo answer, by the rules of their issuer.

    A malformed address or name counts as none. With ``email_verified: assumed`` an issuer's own ``false`` still
    stands.
    """
    email = claims.get("email")
    match = _EMAIL.fullmatch(email) if isinstance(email, str) and len(email) <= _EMAIL_LENGTH else None
    verified = claims.get("email_verified", True if settings.email_verified == "assumed" else None)
    name = claims.get("name")
    return Profile(
        email=match.group() if match else None,
        email_verified=match is not None and verified is True and _vouches_for(match.group(1), settings),
        name=name if isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH and name.isprintable() else None,
    )


def _vouches_for(domain: str, settings: IssuerSettings) -> bool:
    wanted = domain.casefold()
    return any(known in ("*", wanted) for known in (each.casefold() for each in settings.email_domains))


def role_claims_of(claims: Mapping[str, object], names: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the text values of the claims that roles and groups are read from.

    Parameters
    ----------
    claims
        Verified claims.
    names
        Names of claims as in the settings. ``a.b`` also means member ``b`` of claim ``a``, as Keycloak nests its
        roles, unless a claim has that whole name.

    Returns
    -------
    Mapping[str, tuple[str, ...]]
        For each name that is there, its values; a single text is one value, anything but text is left out.
    """
    found = {name: _texts(_claim(claims, name)) for name in names}
    return {name: values for name, values in found.items() if values}


def _claim(claims: Mapping[str, object], name: str) -> object:
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, str))
    return ()
