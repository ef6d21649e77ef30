"""The use cases of the control plane."""

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from kheops.composition.identity import Identity

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    from kheops.identity.sealed_keys import KeySealer
    from kheops.services.administration import Administration
    from kheops.services.albums import Albums
    from kheops.services.audit_reading import AuditReading
    from kheops.services.capabilities import Capabilities
    from kheops.services.comments import Comments
    from kheops.services.directory import Directory
    from kheops.services.favorites import Favorites
    from kheops.services.groups import Groups
    from kheops.services.history import History
    from kheops.services.invitations import Invitations
    from kheops.services.legal_hold import LegalHold
    from kheops.services.links import Links
    from kheops.services.metrics import Counting
    from kheops.services.orphans import Orphans
    from kheops.services.report_providers import ReportProviders
    from kheops.services.reports import Reports
    from kheops.services.sharing import Sharing
    from kheops.services.webhooks import Webhooks

__all__ = ["ControlPlane"]


class ControlPlane(Identity):
    """The use cases of the control plane."""

    @cached_property
    def albums(self) -> "Albums":
        """Albums and their members."""
        from kheops.services.albums import Albums

        return Albums(self.database, self.clock, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def sharing(self) -> "Sharing":
        """Putting series into albums and inboxes, and removing them."""
        from kheops.services.sharing import Sharing

        return Sharing(self.database, self.clock, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def comments(self) -> "Comments":
        """Comments on albums and studies."""
        from kheops.services.comments import Comments

        return Comments(self.database, self.clock, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def history(self) -> "History":
        """What happened to albums."""
        from kheops.services.history import History

        return History(self.database, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def favorites(self) -> "Favorites":
        """Favourite series."""
        from kheops.services.favorites import Favorites

        return Favorites(self.database, self.clock)

    @cached_property
    def directory(self) -> "Directory":
        """Finding people."""
        from kheops.services.directory import Directory

        return Directory(self.database, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def groups(self) -> "Groups":
        """Groups as members of albums."""
        from kheops.services.groups import Groups

        return Groups(self.database, self.clock, issuers=frozenset(self._group_claims))

    @cached_property
    def administration(self) -> "Administration":
        """Suspending, restoring and erasing people."""
        from kheops.services.administration import Administration

        return Administration(
            self.database,
            self.clock,
            registry=self.registry,
            default_issuer=self.settings.default_issuer.issuer,
        )

    @cached_property
    def capabilities(self) -> "Capabilities":
        """Capability tokens."""
        from kheops.services.capabilities import Capabilities

        return Capabilities(
            self.database,
            self.clock,
            pepper=self.pepper,
            longest=timedelta(days=self.settings.capability_days),
            default_issuer=self.settings.default_issuer.issuer,
        )

    @cached_property
    def links(self) -> "Links":
        """Links."""
        from kheops.services.links import Links
        from kheops.services.strangers import Strangers

        longest = timedelta(days=self.settings.link_days)
        strangers = Strangers(self.audit)
        return Links(self.database, self.clock, pepper=self.pepper, longest=longest, strangers=strangers)

    @cached_property
    def invitations(self) -> "Invitations":
        """Invitations to albums by e-mail address."""
        from kheops.services.invitations import Invitations

        return Invitations(
            self.database,
            self.clock,
            lifetime=timedelta(days=self.settings.invitation_days),
            public_url=self.settings.public_url,
            sends_mail=self.settings.mail_from is not None,
        )

    @cached_property
    def report_providers(self) -> "ReportProviders":
        """Report providers of albums."""
        from kheops.services.report_providers import ReportProviders

        return ReportProviders(self.database, self.clock, self.provider_outbound)

    @cached_property
    def reports(self) -> "Reports":
        """What report providers are given."""
        from kheops.services.provider_keys import ProviderKeys
        from kheops.services.reports import Reports

        return Reports(
            self.database,
            self.clock,
            providers=self.report_providers,
            keys=ProviderKeys(self.report_providers, self.provider_outbound),
            pepper=self.pepper,
            public_url=self.settings.public_url,
        )

    @cached_property
    def webhooks(self) -> "Webhooks":
        """Webhooks of albums."""
        from kheops.services.webhooks import Webhooks

        return Webhooks(
            self.database,
            self.clock,
            default_issuer=self.settings.default_issuer.issuer,
            guard=self.outbound,
            sealer=self._sealer,
        )

    @property
    def _sealer(self) -> "KeySealer":
        from kheops.identity.sealed_keys import KeySealer

        return KeySealer(self.pepper)

    @cached_property
    def counting(self) -> "Counting":
        """How much there is of everything."""
        from kheops.services.metrics import Counting

        return Counting(self.database, self.clock)

    @cached_property
    def audit_reading(self) -> "AuditReading":
        """The audit trail as administrators read it."""
        from kheops.services.audit_reading import AuditReading

        return AuditReading(self.database, default_issuer=self.settings.default_issuer.issuer)

    @cached_property
    def legal_hold(self) -> "LegalHold":
        """Keeping series from being deleted for good."""
        from kheops.services.legal_hold import LegalHold

        return LegalHold(self.database, self.clock)

    @cached_property
    def orphans(self) -> "Orphans":
        """Own orphans."""
        from kheops.services.orphans import Orphans

        return Orphans(self.database, lifetime=self._orphan_lifetime)

    @property
    def _orphan_lifetime(self) -> timedelta:
        return timedelta(days=self.settings.orphan_days)
