"""The issuers that we trust, and what they say of themselves (OpenID Connect Discovery 1.0)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from kheops.clock import monotonic as system_monotonic
from kheops.config import IssuerSettings
from kheops.domain.secure_url import is_secure_url
from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.answers import ask
from kheops.identity.jwks import IssuerKeys
from kheops.identity.kept import Kept
from kheops.observability import get_logger

__all__ = ["METADATA_STALE", "METADATA_TTL", "Issuer", "IssuerMetadata", "Issuers"]

METADATA_TTL: Final = 3600.0
"""Seconds after which a discovery document is fetched again."""
METADATA_STALE: Final = 86400.0
"""Seconds beyond that for which it is used while its issuer does not answer. It holds addresses; the trust in keys
has its own, shorter times."""

_ENDPOINTS: Final = (
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "end_session_endpoint",
)

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IssuerMetadata:
    """What we use of a discovery document. Each address is https, or on loopback."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None
    token_endpoint: str | None
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    sends_iss: bool
    """``authorization_response_iss_parameter_supported`` (RFC 9207)."""


class Issuer:
    """One trusted issuer: its settings, its addresses and its keys, each fetched when first needed.

    Parameters
    ----------
    settings
        What the installation trusts it for.
    http
        The shared client.
    monotonic
        Seconds that never go back.
    """

    def __init__(
        self, settings: IssuerSettings, http: httpx.AsyncClient, *, monotonic: Callable[[], float] = system_monotonic
    ) -> None:
        self.settings = settings
        self._http = http
        self.keys = IssuerKeys(self._fetch_keys, issuer=settings.issuer, monotonic=monotonic)
        self._metadata = Kept(
            self._fetch_metadata,
            what=f"metadata of {settings.issuer}",
            ttl=METADATA_TTL,
            stale=METADATA_STALE,
            monotonic=monotonic,
        )

    @property
    def iss(self) -> str:
        """The exact ``iss`` of its tokens."""
        return self.settings.issuer

    async def metadata(self) -> IssuerMetadata:
        """Return its addresses.

        Raises
        ------
        IdentityProviderUnavailableError
            If the document cannot be had and none is kept, if it names another issuer (Discovery 4.3), or if it has
            an address that is neither https nor on loopback.
        """
        return await self._metadata.get()

    async def _fetch_metadata(self) -> IssuerMetadata:
        url = self.settings.discovery_url or f"{self.iss.rstrip('/')}/.well-known/openid-configuration"
        answer = await ask(self._http, "GET", url)
        if not answer.ok:
            raise self._unusable(f"status {answer.status}")
        if answer.document.get("issuer") != self.iss:
            raise self._unusable("it names another issuer")
        urls: dict[str, str | None] = {}
        for name in _ENDPOINTS:
            value = answer.document.get(name)
            if value is not None and not (isinstance(value, str) and is_secure_url(value)):
                raise self._unusable(f"{name} is neither https nor on loopback")
            urls[name] = value
        jwks_uri = urls["jwks_uri"]
        if jwks_uri is None:
            raise self._unusable("it has no jwks_uri")
        return IssuerMetadata(
            issuer=self.iss,
            jwks_uri=jwks_uri,
            authorization_endpoint=urls["authorization_endpoint"],
            token_endpoint=urls["token_endpoint"],
            userinfo_endpoint=urls["userinfo_endpoint"],
            end_session_endpoint=urls["end_session_endpoint"],
            sends_iss=answer.document.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _fetch_keys(self) -> Mapping[str, object]:
        metadata = await self._metadata.get()
        answer = await ask(self._http, "GET", metadata.jwks_uri)
        if not answer.ok:
            raise self._unusable(f"status {answer.status} for its keys")
        return answer.document

    def _unusable(self, why: str) -> IdentityProviderUnavailableError:
        _LOG.warning("issuer.document_unusable", issuer=self.iss, why=why)
        return IdentityProviderUnavailableError()


class Issuers:
    """All trusted issuers of the process, by their exact ``iss``; one set of keys each, shared by every use.

    Parameters
    ----------
    settings
        The trusted issuers, the default one first.
    http
        The shared client; see `kheops.identity.control_client`.
    monotonic
        Seconds that never go back; tests move it.
    """

    def __init__(
        self,
        settings: Sequence[IssuerSettings],
        http: httpx.AsyncClient,
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._issuers = {one.issuer: Issuer(one, http, monotonic=monotonic) for one in settings}

    def get(self, iss: str) -> Issuer | None:
        """Return the issuer whose ``iss`` is exactly this, or ``None``: it is not trusted."""
        return self._issuers.get(iss)
