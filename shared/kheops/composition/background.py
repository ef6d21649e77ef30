"""What runs beside requests: reconcile, purge, and the outbox with its senders."""

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from kheops.composition.control_plane import ControlPlane
from kheops.errors import ConfigurationError

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    from kheops.identity.invocations import InvocationVerifier
    from kheops.outbound.mailers import Mailer
    from kheops.services.comparing import Comparison
    from kheops.services.digests import Digests
    from kheops.services.grant_log import GrantLog
    from kheops.services.importing import Importing
    from kheops.services.outbox import Outbox
    from kheops.services.purging import Purging
    from kheops.services.reconcile import Reconciler
    from kheops.services.restoration import Restoring
    from kheops.services.store_notifications import StoreNotifications

__all__ = ["SECRETS_READ", "Background"]

SECRETS_READ: Final = frozenset(
    {"KHEOPS_DATABASE_PASSWORD", "KHEOPS_MAIL_SMTP_PASSWORD", "KHEOPS_STORE_PASSWORD", "KHEOPS_TOKEN_PEPPER"}
)
"""The variables of the secrets that what runs beside requests needs: it serves no browser and logs nobody in.

The pepper opens the secrets by which webhooks are signed.
"""


class Background(ControlPlane):
    """What runs beside requests: reconcile, purge, and the outbox with its senders."""

    @cached_property
    def reconciler(self) -> "Reconciler":
        """Settles what crashes left."""
        from kheops.services.reconcile import Reconciler

        return Reconciler(self.database, self.archive, self.clock)

    @cached_property
    def comparison(self) -> "Comparison":
        """Has everything on record compared with the store, a share each day."""
        from kheops.services.comparing import Comparison

        return Comparison(self.database, self.clock)

    @cached_property
    def grant_log(self) -> "GrantLog":
        """Lets changes of grants out of the database."""
        from kheops.services.grant_log import GrantLog

        return GrantLog(self.database)

    @cached_property
    def restoring(self) -> "Restoring":
        """Restores the database from a backup."""
        from kheops.services.restoration import Restoring

        return Restoring(self.database, self.clock)

    @cached_property
    def store_notifications(self) -> "StoreNotifications":
        """Takes notifications of the store."""
        from kheops.services.store_notifications import StoreNotifications

        return StoreNotifications(self.database, self.clock)

    @cached_property
    def invocations(self) -> "InvocationVerifier":
        """Tells whether calls come from Google's services in our name.

        Raises
        ------
        ConfigurationError
            If the settings do not say whose calls those are.
        """
        from kheops.identity.invocations import InvocationVerifier

        if self.settings.events_audience is None or not self.settings.events_senders:
            raise ConfigurationError(["KHEOPS_EVENTS_AUDIENCE and KHEOPS_EVENTS_SENDERS must say who may call."])
        return InvocationVerifier(
            self.http,
            issuer=self.settings.events_issuer,
            audience=self.settings.events_audience,
            senders=frozenset(self.settings.events_senders),
            clock=self.clock,
        )

    @cached_property
    def importing(self) -> "Importing":
        """Takes a filled store in."""
        from kheops.services.importing import Importing

        default_issuer = self.settings.default_issuer.issuer
        return Importing(self.database, self.archive, self.clock, default_issuer=default_issuer)

    @cached_property
    def purging(self) -> "Purging":
        """Deleting orphans for good."""
        from kheops.services.purging import Purging

        return Purging(self.database, self.archive, self.clock, lifetime=self._orphan_lifetime)

    @cached_property
    def mailer(self) -> "Mailer | None":
        """What sends mails; ``None`` where the settings name no sender."""
        from kheops.outbound.build import mailer_of

        return mailer_of(self.settings, self.secrets.reveal)

    @cached_property
    def digests(self) -> "Digests | None":
        """Mails about what is new; ``None`` where no mail is sent."""
        from kheops.services.digests import Digests

        if self.mailer is None:
            return None
        return Digests(
            self.database,
            self.clock,
            self.mailer,
            interval=timedelta(seconds=self.settings.digest_seconds),
            public_url=self.settings.public_url,
        )

    @cached_property
    def outbox(self) -> "Outbox":
        """Sends what has to go out. Mails wait where none is sent."""
        from kheops.services.deliveries import WebhookSender, mail_sender
        from kheops.services.outbox import Outbox
        from kheops.storage.digests import DIGEST
        from kheops.storage.outbox import MAIL

        webhooks = WebhookSender(
            self.database, self.clock, guard=self.outbound, sealer=self._sealer, host=self.settings.public_url
        )
        senders = dict(webhooks.senders())
        if self.mailer is not None and self.digests is not None:
            senders |= {MAIL: mail_sender(self.mailer, self.clock), DIGEST: self.digests.send}
        return Outbox(self.database, self.clock, senders, given_up=webhooks.given_up())
