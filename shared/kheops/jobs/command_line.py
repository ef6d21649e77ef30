"""The ``kheops`` command line. Exit codes: 0 done, 1 not done, 2 wrong use, 3 unsafe settings."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from kheops.config import load
from kheops.errors import ConfigurationError, KheopsError
from kheops.factory import Process
from kheops.observability import configure
from kheops.storage.audit import verify_chain
from kheops.storage.engine import Database, connection_arguments
from kheops.storage.schema import migrate as run_migrations

__all__ = ["main"]

_T = TypeVar("_T")

application = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command line."""
    try:
        application()
    except ConfigurationError as error:
        for fault in error.faults:
            typer.echo(fault, err=True)
        raise SystemExit(3) from None
    except KheopsError as error:
        typer.echo(error.detail or error.message, err=True)
        raise SystemExit(1) from None


@application.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    settings = load()
    database = Database(connection_arguments(settings.database_url.get_secret_value()), size=1)
    try:
        with database.connect() as connection:
            version = run_migrations(connection)
    finally:
        database.close()
    typer.echo(f"The schema is at version {version}.")


@application.command()
def reconcile() -> None:
    """Settle what crashes left, bring marked series in step with the store, and clear away ended tokens.

    Exit code 1 if the store could not say.
    """

    async def work(process: Process) -> bool:
        result = await process.reconciler.run()
        await process.reconciler.seal_audit()
        await process.viewer_tokens.clear()
        await process.outbox.clear()
        if process.digests is not None:
            await process.digests.add_due()
        await process.reports.clear()
        for outcome in ("confirmed", "orphaned", "released", "unchanged"):
            typer.echo(f"{outcome}: {result.instances[outcome]}")
        typer.echo(f"series forgotten: {result.series_forgotten}")
        for outcome in ("added", "dropped", "left"):
            typer.echo(f"{outcome} in marked series: {result.catalog.instances[outcome]}")
        typer.echo(f"unanswered by the store: {result.unanswered + result.catalog.unanswered}")
        return result.is_whole

    if not _with_process(work):
        raise typer.Exit(1)


@application.command()
def purge() -> None:
    """Delete orphans that are over their time from the store, for good. Exit code 1 if the store could not."""

    async def work(process: Process) -> bool:
        result = await process.purging.run()
        for outcome in ("begun", "purged", "left"):
            typer.echo(f"{outcome}: {result.series[outcome]}")
        return result.series["left"] == 0

    if not _with_process(work):
        raise typer.Exit(1)


@application.command()
def deliver(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep delivering until the process is ended.")] = False,
) -> None:
    """Send what is due in the outbox: webhooks and mails. Several may run at once."""

    async def work(process: Process) -> int:
        if watch:
            await process.outbox.run_forever()
        return await process.outbox.run_once()

    typer.echo(f"attempts: {_with_process(work)}")


@application.command()
def audit_verify() -> None:
    """Check the chain of the audit trail. Exit code 1 if a row was changed or removed."""

    async def work(process: Process) -> int | None:
        return await process.database.run(verify_chain)

    broken = _with_process(work)
    if broken is not None:
        typer.echo(f"The chain breaks at number {broken}.", err=True)
        raise typer.Exit(1)
    typer.echo("The chain is whole.")


def _with_process(work: Callable[[Process], Awaitable[_T]]) -> _T:
    settings = load()
    configure("warning")

    async def run() -> _T:
        process = Process(settings)
        try:
            await process.check()
            return await work(process)
        finally:
            await process.aclose()

    return asyncio.run(run())
