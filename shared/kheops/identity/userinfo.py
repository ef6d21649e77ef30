"""The issuer's userinfo endpoint (OpenID Connect Core 5.3): name and e-mail where the token carries neither."""

from typing import Final

import httpx

from kheops.domain.profiles import Profile
from kheops.errors import InvalidTokenError
from kheops.identity.access_tokens import VerifiedToken
from kheops.identity.answers import ask
from kheops.identity.issuers import Issuer, Issuers
from kheops.identity.profile import completed, profile_of
from kheops.observability import get_logger

__all__ = ["UserinfoClient", "fetch_profile"]

_REFUSALS: Final = frozenset({400, 401, 403})

_LOG = get_logger(__name__)


class UserinfoClient:
    """Asks issuers who the bearer of a token is.

    Parameters
    ----------
    issuers
        The trusted issuers.
    http
        The shared client; see `kheops.identity.control_client`.
    """

    def __init__(self, issuers: Issuers, http: httpx.AsyncClient) -> None:
        self._issuers = issuers
        self._http = http

    async def fetch(self, token: str, verified: VerifiedToken) -> Profile | None:
        """Return what the issuer says of the caller, completed by what the token itself says.

        Parameters
        ----------
        token
            The caller's own token; it is sent to its issuer and nobody else.
        verified
            What the verifier returned for it.

        Returns
        -------
        Profile | None
            ``None`` if the issuer has no such endpoint or does not take this token there, as with tokens made for
            our audience alone.

        Raises
        ------
        InvalidTokenError
            If the answer is about somebody else (``userinfo-sub``; Core 5.3.2).
        IdentityProviderUnavailableError
            If the issuer does not answer.
        """
        issuer = self._issuers.get(verified.iss)
        if issuer is None:
            return None
        asked = await fetch_profile(issuer, self._http, access_token=token, sub=verified.sub)
        own = Profile(email=verified.email, email_verified=verified.email_verified, name=verified.name)
        return None if asked is None else completed(asked, own)


async def fetch_profile(issuer: Issuer, http: httpx.AsyncClient, *, access_token: str, sub: str) -> Profile | None:
    """Ask one issuer about the person ``sub``, whose access token this is; see `UserinfoClient.fetch`."""
    endpoint = (await issuer.metadata()).userinfo_endpoint
    if endpoint is None:
        return None
    answer = await ask(http, "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
    if not answer.ok:
        if answer.status not in _REFUSALS:
            _LOG.warning("userinfo.unusable", issuer=issuer.iss, status=answer.status)
        return None
    if answer.document.get("sub") != sub:
        raise InvalidTokenError("userinfo-sub")
    return profile_of(answer.document, issuer.settings)
