"""Calls of Google's own services: tokens by which Pub/Sub, Cloud Tasks and Cloud Scheduler show whose they are.

They are ID tokens of a service account (OpenID Connect Core section 2), made for one audience. Cloud Run checks them
too; this is the second look, which also holds where somebody opens the service by mistake.
"""

from typing import Final

import httpx

from kheops.clock import Clock
from kheops.clock import now as system_now
from kheops.config import IssuerSettings
from kheops.errors import InvalidTokenError
from kheops.identity.issuers import Issuer
from kheops.identity.signed_claims import parse_unverified, verify_claims

__all__ = ["InvocationVerifier"]

_REMOVED: Final = ".SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in the place of the signature of tokens that people made for themselves."""


class InvocationVerifier:
    """Tells whether a call comes from one of the service accounts that may call.

    Parameters
    ----------
    http
        The shared client; see `kheops.identity.control_client`.
    issuer
        The exact ``iss`` of their tokens.
    audience
        What their tokens must be made for.
    senders
        The e-mail addresses of the service accounts.
    clock
        The current time.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        issuer: str,
        audience: str,
        senders: frozenset[str],
        clock: Clock = system_now,
    ) -> None:
        settings = IssuerSettings(
            issuer=issuer, audiences=(audience,), algorithms=("RS256",), id_token_claims=("email",)
        )
        self._issuer = Issuer(settings, http)
        self._senders = senders
        self._clock = clock

    async def verify(self, token: str) -> None:
        """Return if ``token`` is one of ours to obey.

        Raises
        ------
        InvalidTokenError
            If it is not. Reasons are those of `kheops.identity.signed_claims.verify_claims` and ``no-jwt``,
            ``other-issuer``, ``signature-removed`` and ``sender``.
        IdentityProviderUnavailableError
            If the issuer's keys cannot be had and none are kept.
        """
        if token.endswith(_REMOVED):
            raise InvalidTokenError("signature-removed")
        unverified = parse_unverified(token)
        if unverified is None:
            raise InvalidTokenError("no-jwt")
        if unverified.iss != self._issuer.iss:
            raise InvalidTokenError("other-issuer")
        signed = await verify_claims(
            unverified, self._issuer, audiences=self._issuer.settings.audiences, now=self._clock
        )
        email = signed.claims.get("email")
        if signed.claims.get("email_verified") is not True or not isinstance(email, str) or email not in self._senders:
            raise InvalidTokenError("sender")
