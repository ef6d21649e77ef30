"""How connections to PostgreSQL are opened: directly, or by the Cloud SQL connector."""

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import pg8000.dbapi
from typing_extensions import override

from kheops.domain.cloud_sql_instance import cloud_sql_instance

__all__ = ["ConnectionSource", "DirectConnections", "connection_arguments", "connection_source"]

Password = Callable[[], str]
"""Tells the password of the moment: it may be rotated while the process runs."""


class ConnectionSource(Protocol):
    """Opens connections; from any thread, several at once."""

    def open(self) -> pg8000.dbapi.Connection:
        """Return a new connection. Neither this nor any read from it waits for long.

        Raises
        ------
        pg8000.dbapi.Error, OSError
            If it cannot be had: `pg8000.dbapi.DatabaseError` with the server's own words, anything else without.
        """

    def close(self) -> None:
        """Let go of what opening needs; connections that are open stay so."""


class DirectConnections(ConnectionSource):
    """Opens connections by host and port, or by Unix socket.

    Parameters
    ----------
    arguments
        What `connection_arguments` returned.
    password
        In place of the one in the arguments.
    """

    def __init__(self, arguments: dict[str, Any], *, password: Password | None = None) -> None:
        self._arguments = arguments
        self._password = password

    @override
    def open(self) -> pg8000.dbapi.Connection:
        if self._password is None:
            return pg8000.dbapi.connect(**self._arguments)
        return pg8000.dbapi.connect(**self._arguments, password=self._password())

    @override
    def close(self) -> None:
        pass


def connection_arguments(url: str) -> dict[str, Any]:
    """Return pg8000's arguments for ``postgresql://user:password@host:port/name?unix_sock=/path``."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    arguments: dict[str, Any] = {
        "user": unquote(parts.username or "postgres"),
        "database": unquote(parts.path.lstrip("/")),
        "timeout": 10,
        "application_name": "kheops",
    }
    if parts.password:
        arguments["password"] = unquote(parts.password)
    if "unix_sock" in query:
        arguments["unix_sock"] = query["unix_sock"][0]
    else:
        arguments["host"] = parts.hostname or "127.0.0.1"
        arguments["port"] = parts.port or 5432
    return arguments


def connection_source(url: str, *, password: Password | None = None) -> ConnectionSource:
    """Return what opens connections to a database.

    Parameters
    ----------
    url
        As for `connection_arguments`, or ``postgresql://user@/name?cloud_sql=project:region:instance``.
    password
        Tells the password, if it is not in the URL. With neither, Cloud SQL is asked for IAM authentication.

    Raises
    ------
    ValueError
        If the URL asks for Cloud SQL without naming an instance.
    """
    parts = urlsplit(url)
    instance = cloud_sql_instance(parts.query)
    if instance is None:
        return DirectConnections(connection_arguments(url), password=password)
    from kheops.storage.cloud_sql import CloudSqlConnections  # brings asyncio's thread, and later the connector

    in_url = parts.password
    return CloudSqlConnections(
        instance,
        user=unquote(parts.username or ""),
        database=unquote(parts.path.lstrip("/")),
        password=password if in_url is None else lambda: unquote(in_url),
    )
