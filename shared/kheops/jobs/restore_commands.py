"""``kheops restore``: bringing a database back from a backup without reviving what was revoked since."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from kheops.cli.connection import AsJson
from kheops.cli.failure import ExitCode
from kheops.cli.output import print_json
from kheops.jobs.processes import with_process

if TYPE_CHECKING:
    from kheops.factory import Process

__all__ = ["application"]

application = typer.Typer(
    help="Restore the database from a backup without reviving what was revoked since.", no_args_is_help=True
)


@application.command()
def begin(*, as_json: AsJson = False) -> None:
    """Let nothing be served from this database, end everything that was handed out, and say what to replay."""

    async def work(process: "Process") -> dict[str, object]:
        found = await process.restoring.begin()
        return {
            "timeline": found.timeline,
            "number": found.number,
            "read": found.staged,
            "replayed": found.replayed_at is not None and not found.unapplied,
            "to_compare_with_store": found.differing,
        }

    _run(work, as_json=as_json)


@application.command()
def replay(
    *,
    audit: Annotated[typer.FileText, typer.Option("--audit", help="The log of changes of grants; `-` for input.")],
    timeline: Annotated[
        list[str] | None, typer.Option("--timeline", help="A later timeline that the installation worked on.")
    ] = None,
    not_timeline: Annotated[
        list[str] | None, typer.Option("--not-timeline", help="A later timeline of a copy, to be left out.")
    ] = None,
    accept_gaps: Annotated[
        bool, typer.Option("--accept-gaps", help="Take a log that lacks lines: what they revoked stays revived.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Apply what the log has after the restored point; again, with a longer log, what that has more."""

    async def work(process: "Process") -> dict[str, object]:
        done = await process.restoring.replay(
            audit, with_timelines=timeline or (), without_timelines=not_timeline or (), gaps=accept_gaps
        )
        return {"lines": done.lines, "unrestored": done.unrestored}

    _run(work, as_json=as_json)


@application.command()
def reconcile(*, as_json: AsJson = False) -> None:
    """Compare every series with the store. Exit code 1 if the store could not say everything."""
    is_whole = True

    async def work(process: "Process") -> dict[str, object]:
        nonlocal is_whole
        await process.restoring.require_begun()
        result = await process.reconciler.run()
        is_whole = result.is_whole
        return {
            "series": result.catalog.series,
            **{name: result.catalog.instances[name] for name in ("added", "dropped", "left")},
            "unanswered": result.unanswered + result.newcomers.unanswered + result.catalog.unanswered,
        }

    _run(work, as_json=as_json)
    if not is_whole:
        raise typer.Exit(ExitCode.NOT_DONE)


@application.command()
def finish(*, as_json: AsJson = False) -> None:
    """Let the database be served, if it is replayed and compared with the store."""

    async def work(process: "Process") -> dict[str, object]:
        await process.restoring.finish()
        # What logs them is the deployed task: nothing keeps what this process writes.
        await process.grant_log.seal()
        return {"finished": True}

    _run(work, as_json=as_json)


def _run(work: "Callable[[Process], Awaitable[dict[str, object]]]", *, as_json: bool) -> None:
    done = with_process(work, restores=True)
    if as_json:
        print_json(done)
        return
    for name, value in done.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")
