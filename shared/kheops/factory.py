"""The composition root: makes everything once for a process, for HTTP, jobs and tests alike."""

import asyncio
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from kheops import clock
from kheops.clock import Clock
from kheops.config import Settings, load
from kheops.errors import ConfigurationError
from kheops.observability import configure, get_logger
from kheops.services.audit import AuditTrail
from kheops.storage.engine import Database, check_arithmetic, connection_arguments
from kheops.storage.lookup import HotLookup
from kheops.storage.schema import check_schema

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    import httpx

    from kheops.archive.port import Archive
    from kheops.identity.access_tokens import AccessTokenVerifier
    from kheops.identity.login import RelyingParty
    from kheops.identity.sealed_keys import KeySealer
    from kheops.identity.userinfo import UserinfoClient
    from kheops.outbound.guard import OutboundGuard
    from kheops.outbound.mailers import Mailer
    from kheops.services.administration import Administration
    from kheops.services.albums import Albums
    from kheops.services.authentication import Authenticator
    from kheops.services.capabilities import Capabilities
    from kheops.services.comments import Comments
    from kheops.services.digests import Digests
    from kheops.services.directory import Directory
    from kheops.services.favorites import Favorites
    from kheops.services.groups import Groups
    from kheops.services.history import History
    from kheops.services.introspection import Introspection
    from kheops.services.invitations import Invitations
    from kheops.services.legal_hold import LegalHold
    from kheops.services.links import Links
    from kheops.services.metrics import Counting
    from kheops.services.open_streams import OpenStreams
    from kheops.services.orphans import Orphans
    from kheops.services.outbox import Outbox
    from kheops.services.people import Registry
    from kheops.services.purging import Purging
    from kheops.services.reading_grants import ReadingGrants
    from kheops.services.reconcile import Reconciler
    from kheops.services.rendering import Rendering
    from kheops.services.report_providers import ReportProviders
    from kheops.services.reports import Reports
    from kheops.services.retrieve import Retrieval
    from kheops.services.search import Search
    from kheops.services.sharing import Sharing
    from kheops.services.store import Storing
    from kheops.services.verification import Verification
    from kheops.services.viewer_tokens import ViewerTokens
    from kheops.services.webhooks import Webhooks
    from kheops.services.zip_export import ZipExport

__all__ = ["Process", "close_process", "enter_lifespan", "leave_lifespan", "open_process"]

_LOG = get_logger(__name__)


class Process:
    """What one process has: connections, caches and the use cases built on them.

    Parameters
    ----------
    settings
        The settings.
    clock
        The current time; tests move it.
    """

    def __init__(self, settings: Settings, *, clock: Clock = clock.now) -> None:
        self.settings = settings
        self.clock = clock
        arguments = connection_arguments(settings.database_url.get_secret_value())
        self.database = Database(arguments, size=settings.database_pool)
        self.lookup = HotLookup(arguments, threads=settings.lookup_threads)
        self.audit = AuditTrail(self.database, clock)

    async def check(self) -> None:
        """Refuse to serve on a database that is too old, behind, or too small for all instances.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer or its schema is behind.
        ConfigurationError
            If all instances together could use up its connections.
        """
        await self.database.run(check_schema)
        per_instance = self.settings.database_pool + self.settings.lookup_threads
        instances = self.settings.max_instances
        fault = await self.database.run(
            lambda tx: check_arithmetic(tx, per_instance=per_instance, instances=instances)
        )
        if fault is not None:
            raise ConfigurationError([fault])

    async def aclose(self) -> None:
        """Write what is left to write and close everything, in the reverse order of making."""
        await self.audit.aclose()
        made = self.__dict__
        if "archive" in made:
            await self.archive.aclose()
        if "http" in made:
            await self.http.aclose()
        if "outbound" in made:
            await self.outbound.aclose()
        await self.lookup.aclose()
        await self.database.aclose()

    @cached_property
    def http(self) -> "httpx.AsyncClient":
        """The client of control calls: discovery, keys, userinfo. Never pixels."""
        from kheops.identity.control_client import control_client

        return control_client()

    @cached_property
    def archive(self) -> "Archive":
        """The DICOM store behind us."""
        from kheops.archive.build import archive_of

        return archive_of(self.settings)

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

        return RelyingParty(self.verifier.issuers, self.http, self.clock, role_claims=self._role_claims)

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

    @cached_property
    def outbound(self) -> "OutboundGuard":
        """The one way out to addresses that somebody else chose."""
        from kheops.outbound.guard import OutboundGuard

        return OutboundGuard(allowed=self.settings.outbound_allowed, plain_http=self.settings.outbound_plain_http)

    @cached_property
    def report_providers(self) -> "ReportProviders":
        """Report providers of albums."""
        from kheops.services.report_providers import ReportProviders

        return ReportProviders(self.database, self.clock, self.outbound)

    @cached_property
    def reports(self) -> "Reports":
        """What report providers are given."""
        from kheops.services.reports import Reports

        return Reports(
            self.database,
            self.clock,
            providers=self.report_providers,
            fetcher=self.outbound,
            pepper=self.pepper,
            public_url=self.settings.public_url,
        )

    @cached_property
    def verification(self) -> "Verification":
        """Whether series may be added to, before anything is stored."""
        from kheops.services.verification import Verification

        return Verification(self.database, self.audit)

    @property
    def pepper(self) -> bytes:
        """The key under which our own tokens are hashed."""
        return self.settings.token_pepper.get_secret_value().encode()

    @cached_property
    def search(self) -> "Search":
        """QIDO-RS."""
        from kheops.services.search import Search

        return Search(self.database, self.audit)

    @cached_property
    def retrieval(self) -> "Retrieval":
        """WADO-RS."""
        from kheops.services.retrieve import Retrieval

        return Retrieval(database=self.database, grants=self.reading_grants, archive=self.archive)

    @cached_property
    def reading_grants(self) -> "ReadingGrants":
        """What the caller may read."""
        from kheops.services.reading_grants import ReadingGrants

        return ReadingGrants(database=self.database, lookup=self.lookup, audit=self.audit)

    @cached_property
    def rendering(self) -> "Rendering":
        """Rendered resources and thumbnails."""
        from kheops.services.rendering import Rendering

        return Rendering(database=self.database, grants=self.reading_grants, archive=self.archive)

    @cached_property
    def zip_export(self) -> "ZipExport":
        """Downloads."""
        from kheops.services.zip_export import ZipExport

        return ZipExport(database=self.database, archive=self.archive, audit=self.audit, clock=self.clock)

    @cached_property
    def open_streams(self) -> "OpenStreams":
        """Who has how many retrievals open."""
        from kheops.services.open_streams import OpenStreams

        return OpenStreams(limit=self.settings.streams_per_person, patience=self.settings.stream_wait_seconds)

    @cached_property
    def storing(self) -> "Storing":
        """STOW-RS."""
        from kheops.services.store import Storing

        return Storing(
            database=self.database,
            archive=self.archive,
            clock=self.clock,
            lease_seconds=self.settings.lease_seconds,
            held_bytes=self.settings.held_bytes,
        )

    @cached_property
    def reconciler(self) -> "Reconciler":
        """Settles what crashes left."""
        from kheops.services.reconcile import Reconciler

        return Reconciler(self.database, self.archive, self.clock)

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
    def legal_hold(self) -> "LegalHold":
        """Keeping series from being deleted for good."""
        from kheops.services.legal_hold import LegalHold

        return LegalHold(self.database, self.clock)

    @cached_property
    def orphans(self) -> "Orphans":
        """Own orphans."""
        from kheops.services.orphans import Orphans

        return Orphans(self.database, lifetime=self._orphan_lifetime)

    @cached_property
    def purging(self) -> "Purging":
        """Deleting orphans for good."""
        from kheops.services.purging import Purging

        return Purging(self.database, self.archive, self.clock, lifetime=self._orphan_lifetime)

    @property
    def _orphan_lifetime(self) -> timedelta:
        return timedelta(days=self.settings.orphan_days)

    @cached_property
    def mailer(self) -> "Mailer | None":
        """What sends mails; ``None`` where the settings name no sender."""
        from kheops.outbound.build import mailer_of

        return mailer_of(self.settings)

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
        return Outbox(self.database, self.clock, senders)

    @cached_property
    def counting(self) -> "Counting":
        """How much there is of everything."""
        from kheops.services.metrics import Counting

        return Counting(self.database, self.clock)

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
    def links(self) -> "Links":
        """Links."""
        from kheops.services.links import Links

        longest = timedelta(days=self.settings.link_days)
        return Links(self.database, self.clock, pepper=self.pepper, longest=longest)

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


class _Shared:
    """The one process object, opened by whoever comes first and closed by whoever leaves last."""

    def __init__(self) -> None:
        self.opening: asyncio.Future[Process] | None = None
        self.users = 0


_shared = _Shared()


async def open_process() -> Process:
    """Return the process object, opening it if nobody has; concurrent first callers share one opening.

    Raises
    ------
    ConfigurationError
        If the settings are unsafe; the next call tries again.
    DatabaseUnavailableError
        If the database does not answer or is behind; the next call tries again.
    """
    opening = _shared.opening
    if opening is None:
        opening = asyncio.ensure_future(_open())
        _shared.opening = opening
    try:
        # Shielded: a caller that is cancelled must not take the opening from the others.
        return await asyncio.shield(opening)
    except Exception:
        if _shared.opening is opening and opening.done():
            _shared.opening = None
        raise


async def close_process() -> None:
    """Close the process object, if it was opened."""
    opening, _shared.opening = _shared.opening, None
    if opening is not None and opening.done() and not opening.cancelled() and opening.exception() is None:
        await opening.result().aclose()


def enter_lifespan() -> None:
    """Count an application that uses the process object until `leave_lifespan`."""
    _shared.users += 1


async def leave_lifespan() -> None:
    """Close the process object when the last application has left."""
    _shared.users -= 1
    if _shared.users == 0:
        await close_process()


async def _open() -> Process:
    settings = load()
    configure(settings.log_level)
    process = Process(settings)
    try:
        await process.check()
    except BaseException:
        await process.aclose()
        raise
    _LOG.info("process.opened", public_url=settings.public_url, store=settings.store_kind)
    return process
