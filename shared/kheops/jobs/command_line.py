"""The ``kheops`` command line. Exit codes: 0 done, 1 not done, 2 wrong use; ``docs/command-line.md`` has them all.

Commands that people use speak to a running installation and are in `kheops.cli`; those that are here work on the
installation itself, with its settings. What these need is imported when one of them runs: `kheops studies` has no use
for a database driver, and would start four times slower.
"""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from kheops.cli import album_commands, sharing_commands
from kheops.cli.audit_commands import audit
from kheops.cli.connection import AsJson
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.output import print_json, say
from kheops.cli.session_commands import login, logout
from kheops.cli.study_commands import download, studies, upload
from kheops.errors import ConfigurationError, DatabaseUnavailableError, KheopsError, RestoringError
from kheops.jobs import restore_commands
from kheops.jobs.processes import with_process

if TYPE_CHECKING:
    from kheops.factory import Process

__all__ = ["application", "main"]

application = typer.Typer(help=__doc__.partition("\n")[0], no_args_is_help=True, pretty_exceptions_enable=False)
application.command()(login)
application.command()(logout)
application.command()(studies)
application.command()(upload)
application.command()(download)
application.add_typer(album_commands.application, name="albums")
application.command()(sharing_commands.share)
application.add_typer(sharing_commands.links, name="link")
application.add_typer(sharing_commands.tokens, name="tokens")
application.command()(audit)
application.add_typer(restore_commands.application, name="restore")


def main() -> None:
    """Run the command line."""
    try:
        application()
    except CommandError as error:
        say(error.message)
        raise SystemExit(error.code) from None
    except ConfigurationError as error:
        for fault in error.faults:
            say(fault)
        raise SystemExit(ExitCode.UNSAFE_SETTINGS) from None
    except DatabaseUnavailableError as error:
        say(f"The database cannot be used. {error.detail} `kheops doctor` says what is wrong.")
        raise SystemExit(ExitCode.NOT_DONE) from None
    except RestoringError:
        say("The database is being restored, until `kheops restore finish`.")
        raise SystemExit(ExitCode.NOT_DONE) from None
    except KheopsError as error:
        say(error.detail or error.message)
        raise SystemExit(ExitCode.NOT_DONE) from None


@application.command()
def doctor(
    *,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option(
            "--token-file", help="An access token that the installation should take, to say why it does not."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an installation with its settings, and say in plain words what to mend.

    Exit code 1 if there is a fault, 3 if it is in the settings themselves.
    """
    from kheops.jobs.doctor.examination import examine

    token = None if token_file is None else token_file.read().strip()
    findings = asyncio.run(examine(token=token))
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            typer.echo(finding.as_text())
    if any(finding.is_fault and finding.check == "settings" for finding in findings):
        raise typer.Exit(ExitCode.UNSAFE_SETTINGS)
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command()
def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database schema up to date."""
    from kheops.config import load
    from kheops.factory import source_of
    from kheops.identity.secret_store import SecretStore
    from kheops.storage.engine import Database
    from kheops.storage.schema import migrate as run_migrations

    settings = load()
    # It talks to the database and the store, each under its own account.
    secrets = SecretStore(settings, reads=("KHEOPS_DATABASE_PASSWORD",))
    secrets.read()
    source = source_of(settings, secrets)
    database = Database(source, size=1)
    try:
        # A bare connection would fail in the driver's words.
        database.run_blocking(lambda _: None)
        with database.connect() as connection:
            version = run_migrations(connection)
    finally:
        database.close()
        source.close()
    if settings.store_topic is not None:
        from kheops.archive.google_store_notifications import tell_topic

        if asyncio.run(tell_topic(settings.store_url, settings.store_topic)):
            say("The store now tells the topic of KHEOPS_STORE_TOPIC of all changes.")
    if as_json:
        print_json({"version": version})
    else:
        typer.echo(f"The schema is at version {version}.")


@application.command()
def reconcile(
    *,
    log_grants: Annotated[
        bool,
        typer.Option(
            "--log-grants",
            help="Log changes of grants, too, and count them as logged: only where the output is kept for a restore.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Settle what crashes left, bring marked series in step with the store, and clear away ended tokens.

    Exit code 1 if the store could not say.
    """
    from kheops.composition.scheduled import ScheduledTask, run_task

    async def work(process: "Process") -> tuple[dict[str, int], bool]:
        result = await process.reconciler.run()
        await process.reconciler.seal_audit()
        # On somebody's own machine nothing keeps these lines, and a log that lacks them is refused by a restore.
        await (process.grant_log.export() if log_grants else process.grant_log.seal())
        for task in (ScheduledTask.CLEAR, ScheduledTask.DIGESTS):
            await run_task(process, task)
        counts = {
            **{name: result.instances[name] for name in ("confirmed", "orphaned", "released", "unchanged")},
            "series forgotten": result.series_forgotten,
            **{f"{name} in marked series": result.catalog.instances[name] for name in ("added", "dropped", "left")},
            "series that the store told of": result.newcomers.series["recorded"],
            "unanswered by the store": result.unanswered + result.newcomers.unanswered + result.catalog.unanswered,
        }
        return counts, result.is_whole

    counts, is_whole = with_process(work)
    _print_counts(counts, as_json=as_json)
    if not is_whole:
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command()
def purge(*, as_json: AsJson = False) -> None:
    """Delete orphans that are over their time from the store, for good. Exit code 1 if the store could not."""

    async def work(process: "Process") -> dict[str, int]:
        result = await process.purging.run()
        return {outcome: result.series[outcome] for outcome in ("begun", "purged", "left")}

    counts = with_process(work)
    _print_counts(counts, as_json=as_json)
    if counts["left"]:
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command("import")
def import_store(
    *,
    to_user: Annotated[
        str | None, typer.Option("--to-user", help="Put everything into this person's inbox: e-mail address or `sub`.")
    ] = None,
    to_album: Annotated[str | None, typer.Option("--to-album", help="Put everything into this album.")] = None,
    rules: Annotated[
        typer.FileText | None,
        typer.Option("--rules", help="A JSON list of {album or user, match}: which series goes where; `-` for input."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would become of each series.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in what the store holds and the catalog does not, and give it to people and albums.

    Without any of the first three options series come on record as nobody's. What is somebody's, or was, is left as it
    is; so a run that was interrupted is made good by the same command. Exit code 1 if something is left for another.
    """
    from kheops.jobs.importing import Reporter, chosen_rules

    chosen = chosen_rules(to_user=to_user, to_album=to_album, rules=rules)

    async def work(process: "Process") -> dict[str, int]:
        result = await process.importing.run(chosen, is_dry=dry_run, told=Reporter())
        return {outcome: result.series[outcome] for outcome in ("assigned", "unassigned", "kept", "empty", "left")}

    counts = with_process(work)
    _print_counts(counts, as_json=as_json)
    if counts["left"]:
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command()
def deliver(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Keep delivering until the process is ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send what is due in the outbox: webhooks and mails. Several may run at once."""

    async def work(process: "Process") -> int:
        if watch:
            await process.outbox.run_forever()
        return await process.outbox.run_once()

    _print_counts({"attempts": with_process(work)}, as_json=as_json)


@application.command()
def audit_verify(*, as_json: AsJson = False) -> None:
    """Check the chain of the audit trail. Exit code 1 if a row was changed or removed."""
    from kheops.storage.audit import verify_chain

    async def work(process: "Process") -> int | None:
        return await process.database.run(verify_chain)

    broken = with_process(work)
    if as_json:
        print_json({"whole": broken is None, "breaks_at": broken})
    elif broken is None:
        typer.echo("The chain is whole.")
    else:
        say(f"The chain breaks at number {broken}.")
    if broken is not None:
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command()
def audit_export(
    *,
    first: Annotated[int, typer.Option("--from", min=1, max=2**63 - 1, help="The number of the first line.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Write the log of changes of grants of this database, one JSON object a line, with or without `--json`."""
    from kheops.domain.grant_log import EVENT

    async def work(process: "Process") -> None:
        await process.grant_log.seal()
        async for line in process.grant_log.lines(first=first):
            typer.echo(json.dumps({"event": EVENT, **line.as_fields()}))

    del as_json
    with_process(work)


def _print_counts(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({name.replace(" ", "_"): number for name, number in counts.items()})
        return
    for name, number in counts.items():
        typer.echo(f"{name}: {number}")
