"""``audit``: who did what to which objects, for administrators of an installation."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from kheops.cli import references
from kheops.cli.api import Api, Parameters
from kheops.cli.connection import AsJson, Server, TokenFile, connect
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.output import print_json, print_table

__all__ = ["audit"]

_COLUMNS: Final = {
    "time": "TIME",
    "who": "WHO",
    "kind": "KIND",
    "outcome": "OUTCOME",
    "uses": "USES",
    "source_address": "FROM",
    "what": "WHAT",
}
_PAGE: Final = 1000
_FEW: Final = 3
"""UIDs that a line of the table shows."""


def audit(
    *,
    user: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Who did it: a verified e-mail address, or a `sub`.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the `sub`, where it is not the default issuer's.")
    ] = None,
    album: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The album that it was about."),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="UID", help="A study that it was done to.")] = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="A series that it was done to.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="What was done, such as read-pixels; may be repeated.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="OUTCOME", help="How it ended: granted, refused or failed.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="ISO 8601, such as 2026-01-31 or 2026-01-31T08:00+01:00."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="The time before which it was.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    lines: Annotated[
        bool, typer.Option("--json-lines", help="Print a JSON object on each line, as they come.")
    ] = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List the audit trail, the latest use first; for administrators of an installation. Reading it is recorded.

    Times without an offset are UTC.
    """
    if as_json and lines:
        raise CommandError("`--json` and `--json-lines` do not go together.", code=ExitCode.WRONG_USE)
    if issuer is not None and user is None:
        raise CommandError("`--issuer` goes with `--user`.", code=ExitCode.WRONG_USE)
    # Rows that come while pages are read would push others onto the next page, where they would stand twice.
    end = _moment(until, "--to") if until is not None else datetime.now(UTC)
    given = {
        "user": user,
        "issuer": issuer,
        "album": None if album is None else references.album(album),
        "study": None if study is None else references.study(study),
        "series": None if series is None else references.series(series),
        "outcome": outcome,
        "from": None if since is None else _moment(since, "--from").isoformat(),
        "to": end.isoformat(),
    }
    query = [(name, value) for name, value in given.items() if value is not None]
    query.extend(("kind", each) for each in kind or ())
    with connect(server, token_file) as api:
        _print(_uses(api, query, most=None if everything else limit), lines=lines, as_json=as_json)


def _uses(api: Api, query: Parameters, *, most: int | None) -> Iterator[Mapping[str, object]]:
    """Give the uses page by page, each from the last of the page before: the server counts no further than a bound."""
    last: Mapping[str, object] = {}
    left = most
    while left is None or left > 0:
        after = [("after", str(last["number"]))] if "number" in last else []
        page = list(api.listed("/audit", [*query, *after], most=_PAGE if left is None else min(left, _PAGE)))
        if not page:
            return
        yield from page
        last = page[-1]
        left = None if left is None else left - len(page)


def _print(found: Iterator[Mapping[str, object]], *, lines: bool, as_json: bool) -> None:
    if lines:
        for each in found:
            typer.echo(json.dumps(each))
    elif as_json:
        print_json(list(found))
    else:
        print_table(_COLUMNS, [{**each, "who": _who(each), "what": _what(each)} for each in found])


def _who(use: Mapping[str, object]) -> object:
    acting = use.get("acting_party")
    who = use.get("sub") or "(the system)"
    return who if acting is None else f"{who} by {acting}"


def _what(use: Mapping[str, object]) -> str:
    uids = next((use[name] for name in ("series_uids", "study_uids") if use.get(name)), [])
    named = list(map(str, uids)) if isinstance(uids, list) else []
    shown = named[:_FEW] + ([f"and {len(named) - _FEW} more"] if len(named) > _FEW else [])
    return " ".join(str(each) for each in (use.get("subject"), *shown, use.get("reason")) if each)


def _moment(text: str, option: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            f"`{option} {text}` is no time: it is like 2026-01-31 or 2026-01-31T08:00+01:00.", code=ExitCode.WRONG_USE
        ) from None
