"""``albums``: the albums of the caller, and the people and groups in them."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from kheops.cli import references
from kheops.cli.connection import AsJson, Server, TokenFile, connect
from kheops.cli.output import print_done, print_json, print_members, print_table, printable

__all__ = ["application"]

application = typer.Typer(help="Albums, and who is in them.", no_args_is_help=True)

Album = Annotated[str, typer.Argument(metavar="ALBUM", help="The album's id.")]
User = Annotated[str, typer.Argument(metavar="PERSON", help="An e-mail address.")]

_COLUMNS: Final = {
    "name": "NAME",
    "number_of_studies": "STUDIES",
    "number_of_users": "MEMBERS",
    "is_admin": "ADMINISTERED",
    "is_favorite": "FAVOURITE",
    "album_id": "ALBUM",
}
_MEMBERS: Final = {"name": "NAME", "is_admin": "ADMINISTRATOR", "sub": "SUB", "email": "E-MAIL"}
_GROUPS: Final = {"group": "GROUP", "issuer": "ISSUER"}
_EVENTS: Final = {
    "post_date": "WHEN",
    "source": "WHO",
    "event_type": "WHAT",
    "mutation_type": "CHANGE",
    "target": "WHOM",
    "comment": "COMMENT",
}


@application.command("list")
def list_albums(
    *,
    name: Annotated[str | None, typer.Option(help="With * and ? for any characters.")] = None,
    favorite: Annotated[bool, typer.Option("--favorite", help="Favourites only.")] = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List your albums."""
    query = [("name", name)] if name is not None else []
    if favorite:
        query.append(("favorite", "true"))
    with connect(server, token_file) as api:
        found = list(api.listed("/albums", query))
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, found)


@application.command()
def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    description: Annotated[str, typer.Option()] = "",
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Create an album, and print its id."""
    with connect(server, token_file) as api:
        made = api.document("POST", "/albums", form=[("name", name), ("description", description)])
    if as_json:
        print_json(made)
    else:
        typer.echo(printable(made.get("album_id")))


@application.command()
def show(*, album: Album, server: Server = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Show an album."""
    path = f"/albums/{references.album(album)}"
    with connect(server, token_file) as api:
        found = api.document("GET", path)
    if as_json:
        print_json(found)
    else:
        print_members(found)


@application.command()
def delete(*, album: Album, server: Server = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Delete an album. Its series stay with everybody who has them elsewhere."""
    with connect(server, token_file) as api:
        api.call("DELETE", f"/albums/{references.album(album)}")
    print_done(as_json=as_json)


@application.command()
def members(*, album: Album, server: Server = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the people in an album, and the groups below them; with ``--json`` the people alone."""
    path = f"/albums/{references.album(album)}"
    with connect(server, token_file) as api:
        found = list(api.listed(f"{path}/users"))
        in_it = [] if as_json else list(api.listed(f"{path}/groups"))
    if as_json:
        print_json(found)
        return
    print_table(_MEMBERS, found)
    if in_it:
        typer.echo()
        print_table(_GROUPS, in_it)


@application.command()
def groups(*, album: Album, server: Server = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the groups in an album."""
    with connect(server, token_file) as api:
        found = list(api.listed(f"/albums/{references.album(album)}/groups"))
    if as_json:
        print_json(found)
    else:
        print_table(_GROUPS, found)


@application.command()
def add(
    *,
    album: Album,
    user: User,
    admin: Annotated[bool, typer.Option("--admin", help="As an administrator.")] = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Add somebody to an album."""
    path = f"/albums/{references.album(album)}/users/{references.segment(user)}"
    with connect(server, token_file) as api:
        api.call("PUT", path)
        if admin:
            api.call("PUT", f"{path}/admin")
    print_done(as_json=as_json)


@application.command()
def remove(
    *,
    album: Album,
    user: User,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove somebody from an album."""
    with connect(server, token_file) as api:
        api.call("DELETE", f"/albums/{references.album(album)}/users/{references.segment(user)}")
    print_done(as_json=as_json)


@application.command()
def events(*, album: Album, server: Server = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List what happened in an album, the latest first."""
    path = f"/albums/{references.album(album)}/events"
    with connect(server, token_file) as api:
        found = list(api.listed(path))
    if as_json:
        print_json(found)
    else:
        print_table(_EVENTS, [{**each, "source": _name(each.get("source")), "target": _whom(each)} for each in found])


def _whom(event: Mapping[str, object]) -> object:
    group = event.get("group")
    return group.get("group") if isinstance(group, Mapping) else _name(event.get("target"))


def _name(person: object) -> object:
    """Return by what somebody in an event is known best."""
    if not isinstance(person, Mapping):
        return None
    return next((person[key] for key in ("name", "email", "sub") if person.get(key)), None)
