"""Connections to Cloud SQL: TLS with certificates of an hour, by Google's connector.

The connector is imported, and makes its thread, when the first connection is opened: it brings the Cloud SQL client,
protobuf and gRPC with it. It refreshes lazily, as Google advises where there is no processor between requests.

Left alone it can wait for minutes, in four places: it opens its socket, shakes hands and logs in without a time-out,
and it asks the Admin API under aiohttp's five minutes. All of that happens on its one loop, so that one dead address
keeps everybody waiting. Hence the two limits here (docs/adr/0022).
"""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import pg8000.dbapi
from typing_extensions import override

from kheops.domain.cloud_sql_instance import CloudSqlInstance
from kheops.observability import get_logger
from kheops.storage.connections import ConnectionSource, Password

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.sql.connector import Connector

__all__ = ["CloudSqlConnections"]

_LOG = get_logger(__name__)

_SOCKET_SECONDS: Final = 10
"""Of each step on a socket, as for direct connections: connecting, the handshake, and each read afterwards."""
_OPEN_SECONDS: Final = 20
"""Of opening a connection as a whole, with certificates from the Admin API."""


class CloudSqlConnections(ConnectionSource):
    """Opens connections to a Cloud SQL instance.

    Parameters
    ----------
    instance
        The instance.
    user
        The PostgreSQL role: for IAM authentication, the service account's e-mail address, with or without
        ``.gserviceaccount.com`` at its end.
    database
        The database's name.
    password
        Tells the role's password; ``None`` for IAM authentication.
    credentials
        Google's; by default the application default credentials.
    admin_endpoint
        Root of the Cloud SQL Admin API; by default Google's.
    open_seconds
        How long opening a connection may take.
    """

    def __init__(
        self,
        instance: CloudSqlInstance,
        *,
        user: str,
        database: str,
        password: Password | None,
        credentials: "Credentials | None" = None,
        admin_endpoint: str | None = None,
        open_seconds: float = _OPEN_SECONDS,
    ) -> None:
        self._instance = instance
        self._user = user
        self._database = database
        self._password = password
        self._credentials = credentials
        self._admin_endpoint = admin_endpoint
        self._open_seconds = open_seconds
        self._lock = threading.Lock()
        self._connector: Connector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @override
    def open(self) -> pg8000.dbapi.Connection:
        try:
            return self._open()
        except pg8000.dbapi.DatabaseError:
            raise
        except Exception as error:
            # aiohttp, google-auth, ssl, the connector: no common base, and their texts may quote an answer.
            _LOG.warning("database.cloud_sql_unavailable", error=type(error).__name__)
            raise pg8000.dbapi.InterfaceError(f"Cloud SQL: {type(error).__name__}") from error

    @override
    def close(self) -> None:
        with self._lock:
            self._closed = True
            connector, loop, thread = self._connector, self._loop, self._thread
            self._connector = self._loop = self._thread = None
        if connector is None or loop is None or thread is None:
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(connector.close_async(), loop).result(3)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(3)
        if not thread.is_alive():
            loop.close()

    def _open(self) -> pg8000.dbapi.Connection:
        connector, loop = self._connected()
        password = {} if self._password is None else {"password": self._password()}

        async def connect() -> pg8000.dbapi.Connection:
            connection: pg8000.dbapi.Connection = await connector.connect_async(
                self._instance.name,
                "pg8000",
                user=self._user,
                database=self._database,
                application_name="kheops",
                **password,
            )
            return connection

        opening = asyncio.run_coroutine_threadsafe(connect(), loop)
        try:
            return opening.result(self._open_seconds)
        except TimeoutError:
            if not opening.cancel():
                opening.add_done_callback(_close_late)
            raise

    def _connected(self) -> "tuple[Connector, asyncio.AbstractEventLoop]":
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            if self._connector is None or self._loop is None:
                from google.cloud.sql.connector import Connector  # deferred: see the module's docstring

                # The connector passes no time-out to its sockets, and has no other way to get one there. Everything
                # else here that uses blocking sockets sets its own; asyncio's never block.
                socket.setdefaulttimeout(_SOCKET_SECONDS)
                loop = asyncio.new_event_loop()
                try:
                    self._connector = Connector(
                        ip_type=self._instance.ip_type,
                        enable_iam_auth=self._password is None,
                        credentials=self._credentials,
                        refresh_strategy="lazy",
                        sqladmin_api_endpoint=self._admin_endpoint,
                        loop=loop,
                    )
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
                self._thread = threading.Thread(target=loop.run_forever, name="cloud-sql", daemon=True)
                self._thread.start()
            return self._connector, self._loop


def _close_late(opening: Future[pg8000.dbapi.Connection]) -> None:
    """Close what came after nobody waited for it any more."""
    with contextlib.suppress(Exception):
        opening.result().close()
