"""Canaille's administration, as far as the tests need it: by its command line, and by its configuration."""

import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from kheops import clock
from local.canaille import Canaille, start_canaille
from local.kept_secrets import write_private
from local.processes import run_to_end
from local.provider import Client, Person
from local.stack import Stack

__all__ = ["CanailleAdministration"]

_REPOSITORY = Path(__file__).resolve().parents[3]


class CanailleAdministration:
    """Canaille's administrator at work.

    Parameters
    ----------
    stack
        The running stack.
    folder
        Where its canaille's data lie.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        assert isinstance(stack.provider, Canaille)
        self._provider = stack.provider

    def new_person(self, name: str, *, email_verified: bool = True) -> Person:
        """Make somebody of whom no other test knows."""
        assert email_verified, "canaille does not know addresses that are not verified"
        user_name = f"{name}-{secrets.token_hex(4)}"
        person = Person(user_name, name.title(), "Test", secrets.token_urlsafe(12), f"{user_name}@example.org")
        self._seed(people=[person])
        return person

    def sub(self, user_name: str) -> str:
        """Return somebody's ``sub``: in canaille the user name."""
        return user_name

    def disable(self, user_name: str) -> None:
        """Lock somebody's account."""
        self._command("set", "user", user_name, "--lock-date", clock.now().isoformat())

    def new_client(self, name: str, redirect_uri: str) -> tuple[Client, str]:
        """Register a client that has nothing to do with us; return also whom its tokens are for: itself."""
        client = Client(name, name, (redirect_uri,))
        self._seed(clients=[client])
        return client, name

    def set_members(self, group: str, *members: Person) -> None:
        """Let these people be in a group, at least one, and nobody else; make it where it is not there yet."""
        assert members, "canaille knows no group without members"
        self._seed(people=[replace(each, groups=(group,)) for each in members])

    def new_key(self) -> None:
        """Sign with a new key from now on, the old one being still published. It takes a restart of canaille."""
        configuration = self._folder / "canaille.toml"
        active = next(
            line for line in configuration.read_text("utf-8").splitlines() if line.startswith("ACTIVE_JWKS = ")
        )
        (self._folder / "key.json").rename(self._folder / "old-key.json")
        (child,) = (each for each in self._stack.processes._children if each.name == "canaille")
        self._stack.processes.stop(child)
        start_canaille(
            self._stack.processes,
            self._folder,
            port=int(self._provider.issuer.rpartition(":")[2]),
            people=self._provider.people,
            clients=self._provider.clients,
            further=active.replace("ACTIVE_JWKS", "INACTIVE_JWKS"),
        )

    def _seed(self, *, people: Sequence[Person] = (), clients: Sequence[Client] = ()) -> None:
        seed = self._folder / "more.json"
        wanted = {"people": [asdict(each) for each in people], "clients": [asdict(each) for each in clients]}
        write_private(seed, json.dumps(wanted))
        self._run([sys.executable, "-m", "local.canaille_seed", str(seed)])
        seed.unlink()

    def _command(self, *arguments: str) -> None:
        self._run([str(Path(sys.executable).with_name("canaille")), *arguments])

    def _run(self, command: list[str]) -> None:
        environment = {"CANAILLE_CONFIG": str(self._folder / "canaille.toml")}
        run_to_end("canaille's administration", command, environment=environment, folder=_REPOSITORY)
