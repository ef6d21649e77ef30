"""The name of a Cloud SQL instance, as the query of a database's address carries it."""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import parse_qs

__all__ = ["CloudSqlInstance", "cloud_sql_instance", "is_cloud_sql", "names_instance"]

IpType = Literal["private", "public", "psc"]

_NAME: Final = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*:[a-z0-9-]+:[a-z][a-z0-9-]*", re.ASCII)
"""``project:region:instance``; the project may have a domain before it (``example.com:project``)."""
_IP_TYPES: Final = ("private", "public", "psc")


@dataclass(frozen=True, slots=True)
class CloudSqlInstance:
    """An instance, and by which of its addresses it is reached.

    Parameters
    ----------
    name
        Its connection name, ``project:region:instance``.
    ip_type
        ``private`` (services access), ``psc`` (Private Service Connect) or ``public``.
    """

    name: str
    ip_type: IpType


def is_cloud_sql(query: str) -> bool:
    """Return whether the query of a database's address asks for Cloud SQL."""
    return bool({"cloud_sql", "ip_type"} & parse_qs(query, keep_blank_values=True).keys())


def names_instance(query: str) -> bool:
    """Return whether the query names an instance as it should."""
    given = parse_qs(query, keep_blank_values=True)
    return (
        given.keys() <= {"cloud_sql", "ip_type"}
        and all(len(values) == 1 for values in given.values())
        and _NAME.fullmatch(given.get("cloud_sql", [""])[0]) is not None
        and given.get("ip_type", ["private"])[0] in _IP_TYPES
    )


def cloud_sql_instance(query: str) -> CloudSqlInstance | None:
    """Return the instance that a query names; ``None`` if it asks for no Cloud SQL.

    Raises
    ------
    ValueError
        If it asks for one and does not name it as it should.
    """
    if not is_cloud_sql(query):
        return None
    if not names_instance(query):
        raise ValueError("the database's address names no Cloud SQL instance")
    given = parse_qs(query)
    return CloudSqlInstance(given["cloud_sql"][0], cast("IpType", given.get("ip_type", ["private"])[0]))
