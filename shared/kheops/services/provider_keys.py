"""The keys of report providers, which sign their assertions: fetched seldom, whatever is sent to us.

An assertion costs its sender nothing, and names a client that many know. So the provider's configuration and keys are
kept as issuers' keys are, one fetch is under way for each provider at a time, and an unknown key is looked for again
only after a cool-down.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from kheops.clock import monotonic as system_monotonic
from kheops.domain.report_configuration import ProviderConfigurationError
from kheops.errors import BadRequestError, IdentityProviderUnavailableError, OutboundError
from kheops.identity.json_objects import json_object
from kheops.identity.jwks import IssuerKeys
from kheops.services.report_providers import CONFIGURATION_BYTES, Fetcher, ReportProviders
from kheops.storage.report_providers import ProviderRecord

__all__ = ["ProviderKeys"]

_REMEMBERED: Final = 1_000
"""Providers; one that is forgotten costs a fetch."""


class ProviderKeys:
    """Keys by provider and the address of its configuration: an edited one has none of before.

    Parameters
    ----------
    providers
        Reads their configuration.
    fetcher
        Gets their keys.
    monotonic
        Seconds that never go back.
    """

    def __init__(
        self,
        providers: ReportProviders,
        fetcher: Fetcher,
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._providers = providers
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[int, str], IssuerKeys] = OrderedDict()

    def of(self, provider: ProviderRecord) -> IssuerKeys:
        """Return the keys of a provider, which are fetched when they are first asked for.

        They are used no longer than `kheops.identity.jwks.KEYS_TTL`, also while the provider does not answer.
        """
        name = (provider.pk, provider.url)
        keys = self._kept.get(name)
        if keys is None:
            fetch = partial(self._fetch, provider.url)
            keys = IssuerKeys(fetch, issuer=provider.provider, stale=0, monotonic=self._monotonic)
            self._kept[name] = keys
        self._kept.move_to_end(name)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        return keys

    async def _fetch(self, url: str) -> Mapping[str, object]:
        try:
            configuration = await self._providers.configuration(url)
            if configuration.jwks_uri is None:
                raise IdentityProviderUnavailableError
            body = await self._fetcher.fetch(
                configuration.jwks_uri, accept="application/json", most=CONFIGURATION_BYTES
            )
        except (BadRequestError, OutboundError, ProviderConfigurationError):
            raise IdentityProviderUnavailableError from None
        keys = json_object(body)
        if keys is None:
            raise IdentityProviderUnavailableError
        return keys
