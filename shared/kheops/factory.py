"""The composition root: makes everything once for a process, for HTTP, jobs and tests alike."""

import asyncio
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
    from kheops.identity.userinfo import UserinfoClient
    from kheops.services.albums import Albums
    from kheops.services.authentication import Authenticator
    from kheops.services.capabilities import Capabilities
    from kheops.services.comments import Comments
    from kheops.services.directory import Directory
    from kheops.services.favorites import Favorites
    from kheops.services.history import History
    from kheops.services.introspection import Introspection
    from kheops.services.metrics import Counting
    from kheops.services.people import Registry
    from kheops.services.reconcile import Reconciler
    from kheops.services.retrieve import Retrieval
    from kheops.services.search import Search
    from kheops.services.sharing import Sharing
    from kheops.services.store import Storing
    from kheops.services.viewer_tokens import ViewerTokens

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
        return frozenset(rule.claim for rule in self.settings.administrators)

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
        return Registry(self.database, self.clock, profiles, administrators=self.settings.administrators)

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

        return Retrieval(database=self.database, lookup=self.lookup, archive=self.archive, audit=self.audit)

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
    def counting(self) -> "Counting":
        """How much there is of everything."""
        from kheops.services.metrics import Counting

        return Counting(self.database, self.clock)

    @cached_property
    def capabilities(self) -> "Capabilities":
        """Capability tokens."""
        from kheops.services.capabilities import Capabilities

        return Capabilities(
            self.database,
            self.clock,
            pepper=self.pepper,
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
