"""The issuer's userinfo endpoint (OpenID Connect Core 5.3): name and e-mail where the token carries neither."""

from typing import Final

from kheops.errors import InvalidTokenError
from kheops.identity.answers import ask
from kheops.identity.issuers import Issuer
from kheops.identity.profile import Profile, profile_of
from kheops.observability import get_logger

__all__ = ["fetch_profile"]

_REFUSALS: Final = frozenset({400, 401, 403})

_log = get_logger(__name__)


async def fetch_profile(issuer: Issuer, *, access_token: str, sub: str) -> Profile | None:
    """Ask the issuer about the person whose verified access token this is.

    Parameters
    ----------
    issuer
        The issuer of the token; the token is sent to nobody else.
    access_token
        The caller's own token, already verified.
    sub
        The verified subject; the answer must be about the same.

    Returns
    -------
    Profile | None
        What it says, by the rules of the issuer; ``None`` if it has no such endpoint or does not take this token
        there, as with tokens made for our audience alone.

    Raises
    ------
    InvalidTokenError
        If the answer is about somebody else (``userinfo-sub``; Core 5.3.2).
    IdentityProviderUnavailableError
        If the issuer does not answer.
    """
    endpoint = (await issuer.metadata()).userinfo_endpoint
    if endpoint is None:
        return None
    answer = await ask(issuer.http, "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
    if not answer.ok:
        if answer.status not in _REFUSALS:
            _log.warning("userinfo-unusable", issuer=issuer.iss, status=answer.status)
        return None
    if answer.document.get("sub") != sub:
        raise InvalidTokenError("userinfo-sub")
    return profile_of(answer.document, issuer.settings)
