"""``login`` and ``logout``."""

import contextlib
import webbrowser
from typing import Annotated, Final

import typer

from kheops.cli.answers import server_address
from kheops.cli.api import Api
from kheops.cli.browser_login import log_in_by_browser
from kheops.cli.connection import AsJson, Server
from kheops.cli.credential import KeptLogin
from kheops.cli.credentials import CredentialFile, Login, default_folder
from kheops.cli.device_login import log_in_by_device
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.issuer import ask, issuer_of
from kheops.cli.output import print_json, say

__all__ = ["login", "logout"]

_CLIENT: Final = "kheops-desktop"


def login(
    *,
    server: Annotated[str, typer.Argument(envvar="KHEOPS_SERVER", metavar="URL", help="The installation.")],
    device: Annotated[bool, typer.Option("--device", help="Log in by a code, in a browser anywhere.")] = False,
    browser: Annotated[bool, typer.Option(help="Whether a browser is opened, or its address shown only.")] = True,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where on this machine the browser comes back to; 0: anywhere.")
    ] = 0,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="The public client of the login provider that this is.")
    ] = _CLIENT,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="The login provider, where the installation has several.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log in at an installation, and keep the login in a file that only you can read."""
    address = server_address(server)
    found = issuer_of(address, wanted=issuer)
    if device:
        tokens = log_in_by_device(found, client_id, tell=say)
    else:
        opened = webbrowser.open if browser else lambda _: True
        tokens = log_in_by_browser(found, client_id, tell=say, port=port, open_address=opened)
    kept = Login(
        server=address,
        issuer=found.iss,
        client_id=client_id,
        token_endpoint=found.token_endpoint,
        revocation_endpoint=found.revocation_endpoint,
        expires_at=tokens.expires_at,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
    )
    file = CredentialFile(default_folder())
    file.keep(kept)
    try:
        with Api(address, KeptLogin(kept, file)) as api:
            api.call("GET", "/inboxinfo")
    except CommandError as error:
        if error.code is ExitCode.NOT_LOGGED_IN:
            file.forget(address)
            raise CommandError(
                f"You are logged in at {found.iss}, but {address} does not take its token: the tokens of the client "
                f"{client_id} are not for it. Tell those who run it; `kheops doctor` shows them what is wrong.",
                code=ExitCode.NOT_LOGGED_IN,
            ) from None
        raise
    if as_json:
        print_json({"server": address, "issuer": found.iss, "file": str(file.path)})
    else:
        typer.echo(f"You are logged in at {address}.")


def logout(*, server: Server = None, as_json: AsJson = False) -> None:
    """Forget a login, and end it at the login provider where that can be done."""
    file = CredentialFile(default_folder())
    kept = file.find(None if server is None else server_address(server))
    if kept is None:
        raise CommandError("Nobody is logged in.", code=ExitCode.NOT_LOGGED_IN)
    file.forget(kept.server)
    ended = False
    if kept.revocation_endpoint is not None:
        token = kept.refresh_token or kept.access_token
        with contextlib.suppress(CommandError):  # it is forgotten here in any case
            ended = ask(kept.revocation_endpoint, {"token": token, "client_id": kept.client_id}).is_success
    if as_json:
        print_json({"server": kept.server, "ended": ended})
        return
    typer.echo(f"The login at {kept.server} is forgotten.")
    if not ended:
        say("The login provider could not be told; the login ends there by itself.")
