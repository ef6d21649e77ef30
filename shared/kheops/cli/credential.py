"""What proves to an installation who calls: a kept login, renewed when it has to be, or a token from a file."""

import threading
import time
from dataclasses import replace
from typing import Final, Protocol

from kheops.cli.credentials import CredentialFile, Login
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.issuer import redeem

__all__ = ["Credential", "KeptLogin", "TokenOfFile"]

_SPARE_SECONDS: Final = 30.0
"""Before its end, an access token is renewed: it has to last for a request."""


class Credential(Protocol):
    """A bearer token, which may be renewed."""

    def token(self) -> str:
        """Return the token to send now.

        Raises
        ------
        CommandError
            If there is none any longer.
        """

    def renew(self, refused: str) -> bool:
        """Return whether there is another token than the one that was just refused."""


class TokenOfFile:
    """A token that was given; it cannot be renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Return it."""
        return self._token

    def renew(self, refused: str) -> bool:
        """Have no other."""
        del refused
        return False


class KeptLogin:
    """A kept login. Several threads and processes may use one.

    Parameters
    ----------
    login
        As it was found.
    file
        Where the renewed one is kept.
    """

    def __init__(self, login: Login, file: CredentialFile) -> None:
        self._login = login
        self._file = file
        self._alone = threading.Lock()

    def token(self) -> str:
        """Return the access token, renewed if it ends soon; raise `CommandError` if that fails."""
        with self._alone:
            if self._login.expires_at - time.time() < _SPARE_SECONDS:
                self._renew(self._login.access_token)
            return self._login.access_token

    def renew(self, refused: str) -> bool:
        """Renew the login unless somebody has done so since; raise `CommandError` if that fails."""
        with self._alone:
            if self._login.access_token == refused:
                self._renew(refused)
            return True

    def _renew(self, old: str) -> None:
        with self._file.locked():
            kept = self._file.find(self._login.server)
            if kept is None:
                raise _ended()
            if kept.access_token != old and kept.expires_at - time.time() >= _SPARE_SECONDS:
                self._login = kept
                return
            if kept.refresh_token is None:
                raise _ended()
            form = {"grant_type": "refresh_token", "refresh_token": kept.refresh_token, "client_id": kept.client_id}
            try:
                tokens = redeem(kept.token_endpoint, form)
            except CommandError as error:
                raise _ended() if error.code is ExitCode.NOT_LOGGED_IN else error from None
            self._login = replace(
                kept,
                access_token=tokens.access_token,
                # RFC 6749 section 6: without a new one, the old one stays good.
                refresh_token=tokens.refresh_token or kept.refresh_token,
                expires_at=tokens.expires_at,
            )
            self._file.replace(self._login)


def _ended() -> CommandError:
    return CommandError("The login has ended. Do `kheops login` again.", code=ExitCode.NOT_LOGGED_IN)
