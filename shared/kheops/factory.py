"""The composition root: makes everything once for a process, for HTTP, jobs and tests alike."""

import asyncio
from collections.abc import Collection

from kheops.composition.background import Background
from kheops.composition.connections import source_of
from kheops.composition.data_plane import DataPlane
from kheops.config import load
from kheops.identity.secret_store import SecretStore
from kheops.observability import configure, get_logger

__all__ = ["Process", "close_process", "enter_lifespan", "leave_lifespan", "open_process", "source_of"]

_LOG = get_logger(__name__)


class Process(DataPlane, Background):
    """What one process has: connections, caches and the use cases built on them; each part is made on first use."""


class _Shared:
    """The one process object, opened by whoever comes first and closed by whoever leaves last."""

    def __init__(self) -> None:
        self.opening: asyncio.Future[Process] | None = None
        self.users = 0


_shared = _Shared()


async def open_process(*, reads: Collection[str] | None = None) -> Process:
    """Return the process object, opening it if nobody has; concurrent first callers share one opening.

    Parameters
    ----------
    reads
        The variables whose secrets whoever opens it needs; all if not given. See `SecretStore`.

    Raises
    ------
    ConfigurationError
        If the settings are unsafe; the next call tries again.
    DatabaseUnavailableError
        If the database does not answer or is behind; the next call tries again.
    """
    opening = _shared.opening
    if opening is None:
        opening = asyncio.ensure_future(_open(reads))
        _shared.opening = opening
    elif opening.done() and not opening.cancelled() and opening.exception() is None:
        return opening.result()
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


async def _open(reads: Collection[str] | None) -> Process:
    settings = load()
    configure(settings.log_level, google_project=settings.google_project)
    process = Process(settings, secrets=SecretStore(settings, reads=reads))
    try:
        await process.check()
        await process.telemetry.open(process.levels)
    except BaseException:
        await process.aclose()
        raise
    _LOG.info("process.opened", public_url=settings.public_url, store=settings.store_kind)
    return process
