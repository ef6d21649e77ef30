"""Who calls: tokens, sessions, people."""

from functools import cached_property
from typing import TYPE_CHECKING

from kheops.composition.connections import Connections

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    from kheops.identity.access_tokens import AccessTokenVerifier
    from kheops.identity.login import RelyingParty
    from kheops.identity.userinfo import UserinfoClient
    from kheops.services.authentication import Authenticator
    from kheops.services.introspection import Introspection
    from kheops.services.people import Registry
    from kheops.services.viewer_tokens import ViewerTokens

__all__ = ["Identity"]


class Identity(Connections):
    """Who calls: tokens, sessions, people."""

    @cached_property
    def verifier(self) -> "AccessTokenVerifier":
        """Verifies access tokens of the trusted issuers."""
        from kheops.identity.access_tokens import AccessTokenVerifier

        return AccessTokenVerifier(self.settings.issuers, self.http, self.clock, role_claims=self._role_claims)

    @property
    def _role_claims(self) -> frozenset[str]:
        return frozenset(rule.claim for rule in self.settings.administrators) | frozenset(self._group_claims.values())

    @property
    def _group_claims(self) -> dict[str, str]:
        return {one.issuer: one.groups_claim for one in self.settings.issuers if one.groups_claim is not None}

    @cached_property
    def userinfo(self) -> "UserinfoClient":
        """Asks issuers who a bearer is."""
        from kheops.identity.userinfo import UserinfoClient

        return UserinfoClient(self.verifier.issuers, self.http)

    @cached_property
    def relying_party(self) -> "RelyingParty":
        """Login in the browser."""
        from kheops.identity.login import RelyingParty

        return RelyingParty(
            self.verifier.issuers,
            self.http,
            self.clock,
            role_claims=self._role_claims,
            reveal=self.secrets.reveal,
        )

    @cached_property
    def registry(self) -> "Registry":
        """People."""
        from kheops.services.people import Registry

        profiles = self.userinfo if self.settings.email_from_userinfo else None
        return Registry(
            self.database,
            self.clock,
            profiles,
            administrators=self.settings.administrators,
            group_claims=self._group_claims,
        )

    @cached_property
    def authenticator(self) -> "Authenticator":
        """Tells who calls."""
        from kheops.services.authentication import Authenticator

        return Authenticator(
            lookup=self.lookup,
            database=self.database,
            verifier=self.verifier,
            registry=self.registry,
            pepper=self.pepper,
            clock=self.clock,
        )

    @cached_property
    def introspection(self) -> "Introspection":
        """Tells what tokens are good for."""
        from kheops.services.introspection import Introspection

        return Introspection(self.database, authenticator=self.authenticator, verifier=self.verifier)

    @cached_property
    def viewer_tokens(self) -> "ViewerTokens":
        """Viewer tokens."""
        from kheops.services.viewer_tokens import ViewerTokens

        return ViewerTokens(self.database, self.clock, pepper=self.pepper)
