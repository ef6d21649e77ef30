"""What an issuer says of a person besides who it is: e-mail address, name, roles and groups.

None of it identifies anybody; a person is known by (iss, sub) only. An address counts as verified only by the rules
that the installation set for its issuer.
"""

import re
from collections.abc import Mapping
from typing import Final

from kheops.config import IssuerSettings
from kheops.domain.mailboxes import in_small_letters, mailbox_of
from kheops.domain.profiles import Profile

__all__ = ["completed", "profile_of", "role_claims_of"]

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,253}")
_EMAIL_LENGTH: Final = 254
"""Characters; RFC 5321 section 4.5.3.1 leaves no room for more."""
_NAME_LENGTH: Final = 255


def profile_of(claims: Mapping[str, object], settings: IssuerSettings) -> Profile:
    """Return the profile in verified claims, or in a userinfo answer, by the rules of their issuer.

    A malformed address or name counts as none. An address that is no `mailbox_of` anything counts as nobody's word,
    whatever the issuer says. With ``email_verified: assumed`` an issuer's own ``false`` still stands.
    """
    email = claims.get("email")
    match = _EMAIL.fullmatch(email) if isinstance(email, str) and len(email) <= _EMAIL_LENGTH else None
    verified = claims.get("email_verified", True if settings.email_verified == "assumed" else None)
    name = claims.get("name")
    return Profile(
        email=match.group() if match else None,
        email_verified=match is not None and verified is True and _vouches_for(match.group(), settings),
        name=name if isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH and name.isprintable() else None,
    )


def completed(profile: Profile, other: Profile) -> Profile:
    """Return ``profile`` with what it lacks taken from ``other``, another word of the same issuer on the same person.

    An address and its verification stay together: never one's address with the other's word for it.
    """
    source = profile if profile.email is not None else other
    return Profile(email=source.email, email_verified=source.email_verified, name=profile.name or other.name)


def _vouches_for(email: str, settings: IssuerSettings) -> bool:
    mailbox = mailbox_of(email)
    if mailbox is None:
        return False
    domain = mailbox.rpartition("@")[2]
    return any(known in ("*", domain) for known in map(in_small_letters, settings.email_domains))


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
