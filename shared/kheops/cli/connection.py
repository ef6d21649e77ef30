"""From a command's options to the API: which installation, and as whom."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from kheops.cli.answers import server_address
from kheops.cli.api import Api
from kheops.cli.credential import Credential, KeptLogin, TokenOfFile
from kheops.cli.credentials import CredentialFile, default_folder
from kheops.cli.failure import CommandError, ExitCode

__all__ = ["AsJson", "Server", "TokenFile", "connect"]

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="KHEOPS_SERVER",
        metavar="URL",
        help="The installation; by default the one of the latest login.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="KHEOPS_TOKEN_FILE",
        metavar="FILE",
        help="A file with an access or capability token to use in place of the login; - for standard input.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_LONGEST: Final = 64 * 1024
"""Characters of a token."""


def connect(server: str | None, token_file: Path | None) -> Api:
    """Return the API of an installation.

    Parameters
    ----------
    server
        Its address; that of the latest login by default.
    token_file
        Where the token is. It is no option itself: everybody on the machine can see those of a process.

    Raises
    ------
    CommandError
        If the address is none, nobody is logged in there, or the file has no token.
    """
    address = None if server is None else server_address(server)
    if token_file is not None:
        if address is None:
            raise CommandError("`--token-file` needs `--server`.", code=ExitCode.WRONG_USE)
        credential: Credential = TokenOfFile(_read(token_file))
        return Api(address, credential)
    file = CredentialFile(default_folder())
    login = file.find(address)
    if login is None:
        where = "" if address is None else f" at {address}"
        raise CommandError(
            f"Nobody is logged in{where}. Do `kheops login {address or 'URL'}` first.", code=ExitCode.NOT_LOGGED_IN
        )
    return Api(login.server, KeptLogin(login, file))


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            text = sys.stdin.read(_LONGEST)
        else:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(_LONGEST)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CommandError(f"The token in {file} cannot be read: {why}.", code=ExitCode.WRONG_USE) from None
    token = text.strip()
    if not token or not token.isascii() or any(each.isspace() for each in token):
        raise CommandError(f"{file} does not have a token and nothing else.", code=ExitCode.WRONG_USE)
    return token
