"""All checks in their order: what is in the settings, what lies behind us, and how we look from outside."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from kheops import clock as system_clock
from kheops.clock import Clock
from kheops.config import Settings, load
from kheops.errors import ConfigurationError
from kheops.factory import Process
from kheops.jobs.doctor.database import check_database
from kheops.jobs.doctor.finding import Finding
from kheops.jobs.doctor.heard import Heard
from kheops.jobs.doctor.issuers import check_issuers, check_token
from kheops.jobs.doctor.public_address import check_protocol, check_public_address, check_size
from kheops.jobs.doctor.store import check_store

__all__ = ["examine"]

_SETTINGS: Final = "docs/settings.md says what it may be."


async def examine(*, token: str | None = None, clock: Clock = system_clock.now) -> list[Finding]:
    """Examine an installation by the settings of the environment, and return what was found.

    It changes nothing. A check that cannot be made because of an earlier fault is left out.

    Parameters
    ----------
    token
        An access token that ought to be good.
    clock
        The current time.
    """
    try:
        settings = load()
    except ConfigurationError as error:
        return [Finding.fault("settings", fault, _SETTINGS) for fault in error.faults]
    with Heard() as heard:
        return [finding async for finding in _examined(settings, heard, token, clock)]


async def _examined(settings: Settings, heard: Heard, token: str | None, clock: Clock) -> AsyncIterator[Finding]:
    process = Process(settings, clock=clock)
    try:
        try:
            await process.secrets.open()
        except ConfigurationError as error:
            for fault in error.faults:
                yield Finding.fault("settings", fault, _SETTINGS)
            return
        yield Finding.ok("settings", "The settings are complete, and none is unsafe by itself.")
        async for finding in check_database(process, heard):
            yield finding
        async for finding in check_store(process, heard):
            yield finding
        async for finding in check_issuers(process, heard):
            yield finding
        if token is not None:
            yield await check_token(process, token)
    finally:
        await process.aclose()
    outside = await asyncio.to_thread(lambda: list(check_public_address(settings, clock)))
    for finding in outside:
        yield finding
    if not any(finding.is_fault and finding.check == "public address" for finding in outside):
        yield await check_size(settings)
        yield await check_protocol(settings)
