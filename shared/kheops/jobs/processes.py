"""A process object for the length of a command."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # `kheops studies` has no use for a database driver
    from kheops.factory import Process

__all__ = ["with_process"]

_T = TypeVar("_T")


def with_process(work: "Callable[[Process], Awaitable[_T]]", *, restores: bool = False) -> _T:
    """Open what the settings say, run ``work`` with it, and return its result.

    Parameters
    ----------
    work
        What to do.
    restores
        Whether it restores the database: nothing else may work on one that is being restored.
    """
    from kheops.composition.background import SECRETS_READ
    from kheops.config import load
    from kheops.factory import Process
    from kheops.identity.secret_store import SecretStore
    from kheops.observability import configure

    settings = load()
    # Standard output is for the result.
    configure("warning", stream=sys.stderr)

    async def run() -> _T:
        process = Process(settings, secrets=SecretStore(settings, reads=SECRETS_READ))
        try:
            await process.check(restores=restores)
            return await work(process)
        finally:
            await process.aclose()

    return asyncio.run(run())
