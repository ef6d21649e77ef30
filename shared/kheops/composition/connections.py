"""What every part of a process is built on: settings, clock, database, audit, and the clients that go out."""

import asyncio
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from kheops import clock
from kheops.clock import Clock
from kheops.composition.telemetry import ProcessTelemetry
from kheops.config import Settings
from kheops.errors import ConfigurationError
from kheops.identity.keyring import Keyring
from kheops.identity.secret_store import SecretStore
from kheops.services.audit import AuditTrail
from kheops.services.serving import Serving
from kheops.storage.connections import ConnectionSource, connection_source
from kheops.storage.engine import Database, check_arithmetic
from kheops.storage.lookup import HotLookup
from kheops.storage.schema import check_schema

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    import httpx

    from kheops.archive.port import Archive
    from kheops.outbound.delivery_queue import DeliveryQueue
    from kheops.outbound.guard import OutboundGuard

__all__ = ["Connections", "source_of"]


class Connections:
    """What every part of a process is built on: settings, clock, database, audit, and the clients that go out.

    Parameters
    ----------
    settings
        The settings.
    clock
        The current time; tests move it.
    secrets
        Where the values of secret settings come from; by default what the settings say.
    """

    def __init__(self, settings: Settings, *, clock: Clock = clock.now, secrets: SecretStore | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.secrets = secrets or SecretStore(settings, clock=clock)
        self._source = source_of(settings, self.secrets)
        on_due = None if settings.delivery_queue is None else self._wake
        self.database = Database(self._source, size=settings.database_pool, on_due=on_due)
        self.lookup = HotLookup(self._source, threads=settings.lookup_threads)
        self.audit = AuditTrail(self.database, clock)
        self.telemetry = ProcessTelemetry(settings)
        self.serving = Serving(self.database)

    async def check(self, *, restores: bool = False) -> None:
        """Read the secrets, and refuse to serve on a database that is too old, behind, or too small for all instances.

        Parameters
        ----------
        restores
            Whether it is to restore the database: nothing else may work on one that is being restored.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer or its schema is behind.
        RestoringError
            If it is being restored.
        ConfigurationError
            If all instances together could use up its connections, or a secret cannot be read or is weak.
        """
        await self.secrets.open()
        await self.database.run(check_schema)
        if not restores:
            await self.serving.refuse_while_restoring()
        per_instance = self.settings.database_pool + self.settings.lookup_threads
        instances = self.settings.max_instances
        fault = await self.database.run(
            lambda tx: check_arithmetic(tx, per_instance=per_instance, instances=instances)
        )
        if fault is not None:
            raise ConfigurationError([fault])

    async def aclose(self) -> None:
        """Write what is left to write and close everything, in the reverse order of making."""
        await self.serving.aclose()
        await self.audit.aclose()
        made = self.__dict__
        if "archive" in made:
            await self.archive.aclose()
        if "delivery_queue" in made and self.delivery_queue is not None:
            await self.delivery_queue.aclose()
        if "http" in made:
            await self.http.aclose()
        if "outbound" in made:
            await self.outbound.aclose()
        if "provider_outbound" in made:
            await self.provider_outbound.aclose()
        await self.lookup.aclose()
        await self.database.aclose()
        await asyncio.to_thread(self._source.close)
        await self.secrets.aclose()
        await self.telemetry.aclose()

    @cached_property
    def http(self) -> "httpx.AsyncClient":
        """The client of control calls: discovery, keys, userinfo. Never pixels."""
        from kheops.identity.control_client import control_client

        return control_client()

    @cached_property
    def delivery_queue(self) -> "DeliveryQueue | None":
        """What has the deliverer called when something of the outbox is due; ``None`` where it looks by itself."""
        from kheops.archive.google_credentials import GoogleCredentials
        from kheops.outbound.delivery_queue import DeliveryQueue

        queue = self.settings.delivery_queue
        if queue is None:
            return None
        credentials = GoogleCredentials(clock=self.clock)
        return DeliveryQueue(queue, client=self.http, authorization=credentials.value, clock=self.clock)

    def _wake(self, due: datetime) -> None:
        if self.delivery_queue is not None:
            self.delivery_queue.wake(due)

    @cached_property
    def archive(self) -> "Archive":
        """The DICOM store behind us."""
        from kheops.archive.build import archive_of

        return archive_of(self.settings, self.secrets.reveal)

    @cached_property
    def outbound(self) -> "OutboundGuard":
        """The one way out to addresses that somebody else chose."""
        return self._guard()

    @cached_property
    def provider_outbound(self) -> "OutboundGuard":
        """The same with connections of its own: slow report providers keep no webhook waiting."""
        return self._guard()

    def _guard(self) -> "OutboundGuard":
        from kheops.outbound.guard import OutboundGuard

        return OutboundGuard(allowed=self.settings.outbound_allowed, plain_http=self.settings.outbound_plain_http)

    @property
    def pepper(self) -> Keyring:
        """The keys under which our own tokens are hashed."""
        return self.secrets.keyring(self.settings.token_pepper)

    @property
    def session_keys(self) -> Keyring:
        """The keys on which browser sessions rest."""
        return self.secrets.keyring(self.settings.session_key)


def source_of(settings: Settings, secrets: SecretStore) -> ConnectionSource:
    """Return what opens connections to the database of the settings."""
    password = settings.database_password
    tell = None if password is None else lambda: secrets.reveal(password)
    return connection_source(settings.database_url.get_secret_value(), password=tell)
