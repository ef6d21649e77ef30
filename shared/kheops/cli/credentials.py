"""Logins that the command line keeps: one file, which only its owner can read."""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import typer

from kheops.cli.failure import CommandError, ExitCode

__all__ = ["CredentialFile", "Login", "default_folder"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Somebody's login at one installation."""

    server: str
    issuer: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    expires_at: float
    """Of the access token, in seconds of the Unix epoch."""
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)


def default_folder() -> Path:
    """Return where logins are kept: ``kheops`` below ``XDG_CONFIG_HOME``, or what the system has in its place."""
    return Path(typer.get_app_dir("kheops"))


class CredentialFile:
    """The file of logins, by installation. It and its folder are made with the first login, for the owner alone.

    Parameters
    ----------
    folder
        Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "credentials.json"
        self._lock = folder / "lock"

    def find(self, server: str | None) -> Login | None:
        """Return the login at an installation, or the latest one; ``None`` if there is none.

        Raises
        ------
        CommandError
            If others can read the file, or it is not as this program writes it.
        """
        document = self._read()
        wanted = server or document.get("latest")
        logins = document.get("logins")
        kept = logins.get(wanted) if isinstance(logins, dict) and isinstance(wanted, str) else None
        return None if kept is None else self._login(kept)

    def keep(self, login: Login) -> None:
        """Write a login down, in the place of an earlier one at the same installation.

        Raises
        ------
        CommandError
            As `find`, and if it cannot be written.
        """
        with self.locked():
            self.replace(login)

    def replace(self, login: Login) -> None:
        """Do as `keep` for who holds the lock."""
        document = self._read()
        logins = document.get("logins")
        kept = {**(logins if isinstance(logins, dict) else {}), login.server: asdict(login)}
        self._write({"latest": login.server, "logins": kept})

    def forget(self, server: str) -> None:
        """Remove the login at an installation, if there is one.

        Raises
        ------
        CommandError
            As `keep`.
        """
        with self.locked():
            document = self._read()
            logins = document.get("logins")
            kept = {
                name: value for name, value in (logins if isinstance(logins, dict) else {}).items() if name != server
            }
            latest = document.get("latest")
            self._write({"latest": next(iter(kept), None) if latest == server else latest, "logins": kept})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of the same person from renewing or writing; the kernel ends it with the process.

        A refresh token is good once at many issuers: two processes that used the same would lose the login.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._lock.open("a")
        except OSError as error:
            raise self._failed(error) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> Mapping[str, object]:
        try:
            with self.path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise CommandError(
                        f"Others can read {self.path}, which holds your login. Do `chmod 600` on it, and log in again "
                        "if somebody may have read it.",
                        code=ExitCode.WRONG_USE,
                    )
                document = json.load(file)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._failed(error) from None
        except ValueError:
            raise self._malformed() from None
        if not isinstance(document, dict):
            raise self._malformed()
        return document

    def _login(self, kept: object) -> Login:
        known = {each.name for each in fields(Login)}
        if not isinstance(kept, dict) or not all(isinstance(name, str) for name in kept):
            raise self._malformed()
        texts = {name: value for name, value in kept.items() if name in known and name != "expires_at"}
        expires_at = kept.get("expires_at")
        if not isinstance(expires_at, int | float) or not all(
            isinstance(value, str) or (value is None and name in {"refresh_token", "revocation_endpoint"})
            for name, value in texts.items()
        ):
            raise self._malformed()
        try:
            return Login(expires_at=float(expires_at), **texts)
        except TypeError:
            raise self._malformed() from None

    def _write(self, document: Mapping[str, object]) -> None:
        folder = self.path.parent
        try:
            # mkstemp makes it for the owner alone, from the start; a rename is whole or not at all.
            number, name = tempfile.mkstemp(dir=folder, prefix=".credentials-")
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> CommandError:
        return CommandError(f"Logins are kept in {self.path}, which does not go: {error.strerror}.")

    def _malformed(self) -> CommandError:
        return CommandError(
            f"{self.path} is not as this program writes it. Remove it and log in again.", code=ExitCode.WRONG_USE
        )
