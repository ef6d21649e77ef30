"""The database: whether it is reached, has our schema, and takes as many connections as we may open."""

from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import text

from kheops.errors import ConfigurationError, DatabaseUnavailableError
from kheops.factory import Process
from kheops.jobs.doctor.clocks import compared
from kheops.jobs.doctor.finding import Finding
from kheops.jobs.doctor.heard import Heard

__all__ = ["check_database"]

_PASSWORD: Final = ("it refuses our user or password", "Set the right user and password in KHEOPS_DATABASE_URL.")
_STATES: Final = {
    "28P01": _PASSWORD,
    "28000": _PASSWORD,
    "3D000": ("it has no database of that name", "Create the database, or mend its name in KHEOPS_DATABASE_URL."),
    "53300": ("it has no connection left", "Raise max_connections of PostgreSQL, or end what holds its connections."),
}
_NO_ANSWER: Final = (
    "it does not answer",
    "Start PostgreSQL, mend host and port in KHEOPS_DATABASE_URL, or open the network between.",
)


async def check_database(process: Process, heard: Heard) -> AsyncIterator[Finding]:
    """Give what is to be said of the database."""
    try:
        theirs = await process.database.run(
            lambda tx: float(tx.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        )
    except DatabaseUnavailableError:
        state = heard.last("database.unavailable", "sqlstate")
        why, mend = _STATES.get(state or "", _NO_ANSWER)
        yield Finding.fault("database", f"The database cannot be used: {why}.", mend)
        return
    yield Finding.ok("database", "The database answers.")
    yield compared("the database", theirs, process.clock)
    try:
        await process.check()
    except ConfigurationError as error:
        for fault in error.faults:
            yield Finding.fault("connections", fault, "Until then no process starts.")
    except DatabaseUnavailableError as error:
        yield Finding.fault("schema", error.detail, "Do `kheops migrate` with these settings.")
    else:
        yield Finding.ok("schema", "Schema and connections are as they must be.")
