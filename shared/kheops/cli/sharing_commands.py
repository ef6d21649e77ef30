"""``share``, ``link`` and ``tokens``: giving access to others, and taking it back."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from kheops.cli import references
from kheops.cli.connection import AsJson, Server, TokenFile, connect
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.output import print_done, print_json, print_table, printable, say

__all__ = ["links", "share", "tokens"]

links = typer.Typer(help="Links that show an album or chosen studies to whoever has them.", no_args_is_help=True)
tokens = typer.Typer(help="Capability tokens, for viewers and programs.", no_args_is_help=True)

Days = Annotated[int | None, typer.Option("--days", min=1, help="For how long; as long as is usual by default.")]
Title = Annotated[str, typer.Option("--title", help="What it is called.")]
AlbumOption = Annotated[str | None, typer.Option("--album", metavar="ID", help="An album that you administer.")]
StudyOption = Annotated[list[str] | None, typer.Option("--study", metavar="UID", help="A study; may be repeated.")]
Valid = Annotated[bool, typer.Option("--valid", help="Only those that are good.")]
_LINKS: Final = {
    "title": "TITLE",
    "scope_type": "SHOWS",
    "uses": "OPENED",
    "expiration_time": "UNTIL",
    "revoked": "REVOKED",
    "id": "LINK",
}
_TOKENS: Final = {
    "title": "TITLE",
    "scope_type": "FOR",
    "read_permission": "READ",
    "write_permission": "WRITE",
    "expiration_time": "UNTIL",
    "revoked": "REVOKED",
    "id": "TOKEN",
}


def share(
    *,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A Study Instance UID.")],
    series: Annotated[
        list[str] | None, typer.Option(metavar="UID", help="Only this series of it; may be repeated.")
    ] = None,
    person: Annotated[str | None, typer.Option("--with", metavar="PERSON", help="An e-mail address.")] = None,
    album: Annotated[str | None, typer.Option(metavar="ID", help="An album.")] = None,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Give a study, or series of it, to somebody's inbox or to an album."""
    if (person is None) == (album is None):
        raise CommandError("Say with whom: `--with PERSON`, or `--album ID`.", code=ExitCode.WRONG_USE)
    whole = references.study(study)
    chosen = [references.series(each) for each in series or ()]
    target = {"user": person} if album is None else {"album": references.album(album)}
    with connect(server, token_file) as api:
        if chosen:
            named = [{"StudyInstanceUID": whole, "SeriesInstanceUID": each} for each in chosen]
            api.call("POST", "/shares", document={"series": named, "target": target})
        elif album is None:
            api.call("PUT", f"/studies/{whole}/users/{references.segment(person or '')}")
        else:
            api.call("PUT", f"/studies/{whole}/albums/{references.album(album)}")
    print_done(as_json=as_json)


@links.command("create")
def create_link(
    *,
    title: Title,
    album: AlbumOption = None,
    study: StudyOption = None,
    days: Days = None,
    max_uses: Annotated[int | None, typer.Option(min=1, help="How often it may be opened.")] = None,
    passcode: Annotated[bool, typer.Option("--passcode", help="Ask for a passcode that it needs besides.")] = False,
    with_files: Annotated[bool, typer.Option("--download", help="Whether files may be taken from it.")] = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Create a link, and print its address: it is told this once."""
    if (album is None) == (not study):
        raise CommandError("Say what it shows: `--album ID`, or `--study UID`.", code=ExitCode.WRONG_USE)
    form = [("title", title), ("download_permission", str(with_files).lower())]
    form += [("study", references.study(each)) for each in study or ()]
    if album is not None:
        form.append(("album", references.album(album)))
    if max_uses is not None:
        form.append(("max_uses", str(max_uses)))
    form += _expiration(days)
    with connect(server, token_file) as api:
        if passcode:
            form.append(("passcode", typer.prompt("Passcode", hide_input=True, confirmation_prompt=True, err=True)))
        made = api.document("POST", "/links", form=form)
    if as_json:
        print_json(made)
    else:
        typer.echo(printable(made.get("url")))
        say(f"Its id, by which it is revoked: {printable(made.get('id'))}")


@links.command("list")
def list_links(
    *,
    album: AlbumOption = None,
    valid: Valid = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List your links, or those to an album."""
    _list("/links", _LINKS, album, valid=valid, server=server, token_file=token_file, as_json=as_json)


@links.command("revoke")
def revoke_link(
    *,
    link: Annotated[str, typer.Argument(metavar="LINK", help="The link's id.")],
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a link, at once and for good."""
    with connect(server, token_file) as api:
        api.call("POST", f"/links/{references.segment(link)}/revoke", form=[])
    print_done(as_json=as_json)


@tokens.command("create")
def create_token(
    *,
    title: Title,
    album: AlbumOption = None,
    read: Annotated[bool, typer.Option("--read", help="It may find and retrieve.")] = False,
    write: Annotated[bool, typer.Option("--write", help="It may store.")] = False,
    send: Annotated[bool, typer.Option("--send", help="It may pass series on; with --read.")] = False,
    with_files: Annotated[bool, typer.Option("--download", help="It may take files; with --read.")] = False,
    days: Days = None,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Create a capability token of yours or of an album, and print it: it is told this once."""
    if not (read or write):
        raise CommandError("Say what it may do: `--read`, `--write`, or both.", code=ExitCode.WRONG_USE)
    may = {
        "read_permission": read,
        "write_permission": write,
        "appropriate_permission": send,
        "download_permission": with_files,
    }
    form = [("title", title), ("scope_type", "user" if album is None else "album")]
    form += [(name, str(value).lower()) for name, value in may.items()]
    if album is not None:
        form.append(("album", references.album(album)))
    form += _expiration(days)
    with connect(server, token_file) as api:
        made = api.document("POST", "/capabilities", form=form)
    if as_json:
        print_json(made)
    else:
        typer.echo(printable(made.get("access_token")))
        say(f"Its id, by which it is revoked: {printable(made.get('id'))}")


@tokens.command("list")
def list_tokens(
    *,
    album: AlbumOption = None,
    valid: Valid = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List your capability tokens, or those of an album."""
    _list("/capabilities", _TOKENS, album, valid=valid, server=server, token_file=token_file, as_json=as_json)


@tokens.command("revoke")
def revoke_token(
    *,
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, not the token.")],
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a capability token, at once and for good."""
    with connect(server, token_file) as api:
        api.call("POST", f"/capabilities/{references.segment(token)}/revoke", form=[])
    print_done(as_json=as_json)


def _list(
    path: str,
    columns: dict[str, str],
    album: str | None,
    *,
    valid: bool,
    server: Server,
    token_file: TokenFile,
    as_json: bool,
) -> None:
    query = [("valid", "true")] if valid else []
    if album is not None:
        query.append(("album", references.album(album)))
    with connect(server, token_file) as api:
        found = list(api.listed(path, query))
    if as_json:
        print_json(found)
    else:
        print_table(columns, found)


def _expiration(days: int | None) -> list[tuple[str, str]]:
    if days is None:
        return []
    try:
        until = datetime.now(UTC) + timedelta(days=days)
    except OverflowError:
        raise CommandError("`--days` is more than anything lasts.", code=ExitCode.WRONG_USE) from None
    return [("expiration_time", until.isoformat(timespec="seconds"))]
