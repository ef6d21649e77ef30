"""The whole system on one machine without containers: real parts, each with its own data folder and loopback port."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from local.canaille import start_canaille
from local.dicom_store import DicomStore
from local.emulator import start_emulator
from local.kept_secrets import kept_secrets
from local.keycloak import KeycloakSecrets, start_keycloak
from local.oidc_login import log_in
from local.orthanc import start_orthanc
from local.ports import kept_ports
from local.postgres import Postgres, start_postgres
from local.processes import ProcessError, Processes
from local.provider import ADMINISTRATORS, Client, Person, Provider
from local.services import Services, start_services

__all__ = ["SCRIPT_REDIRECT", "STACKS", "ProviderKind", "Stack", "StackRunningError", "StoreKind", "demo_people"]

StoreKind = Literal["emulator", "orthanc"]
ProviderKind = Literal["canaille", "keycloak"]

STACKS: Final = Path(__file__).resolve().parent.parent / ".local"
"""Where the stacks' folders lie."""

_EMAIL_DOMAIN: Final = "example.org"
_GROUP: Final = "radiology"
SCRIPT_REDIRECT: Final = "http://127.0.0.1:1/signed-in"
"""Nothing listens there: a script reads the code from the redirect and does not follow it."""


class StackRunningError(Exception):
    """Another process runs this stack now."""


@dataclass(frozen=True, slots=True)
class _Parts:
    postgres: Postgres
    provider: Provider
    store: DicomStore
    services: Services
    web_client: Client
    script_client: Client
    login_port: int | None


class Stack:
    """A stack: a context manager that starts everything on entry and stops it at the end, however that comes.

    Parameters
    ----------
    name
        Its folder below ``root``; two stacks with different names can run at the same time. With Keycloak it has
        ``-keycloak`` appended: another issuer's people are other people, and need a catalog of their own.
    store
        Which DICOM store stands behind it. Each keeps its data in a folder of its own.
    idp
        Which provider people log in at.
    root
        Where stacks lie.
    settings
        Further ``KHEOPS_*`` variables for the services, which win.
    fresh
        Whether the data of earlier starts is removed first. Ports and secrets stay.
    emulator_options
        Further options of the emulator's command line, where it is the store.
    say
        Told in a line what is being done.
    """

    def __init__(
        self,
        name: str,
        *,
        store: StoreKind = "emulator",
        idp: ProviderKind = "canaille",
        root: Path = STACKS,
        settings: Mapping[str, str] | None = None,
        fresh: bool = False,
        emulator_options: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = root / (name if idp == "canaille" else f"{name}-{idp}")
        self._store_kind: StoreKind = store
        self._provider_kind: ProviderKind = idp
        self._settings = settings or {}
        self._fresh = fresh
        self._emulator_options = tuple(emulator_options)
        self._say = say
        self._ending = contextlib.ExitStack()
        self._parts: _Parts | None = None
        self._processes = Processes(self._folder / "logs")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ending:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Patients' data, passwords and keys; one that an earlier version made was open to everybody.
            self._folder.chmod(0o700)
            ending.enter_context(_alone(self._folder))
            if self._fresh:
                _remove_data(self._folder)
            ending.enter_context(self._processes)
            self._parts = self._start()
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("Stopping everything.")
        self._ending.close()
        self._parts = None

    def _start(self) -> _Parts:
        database = f"postgres-{self._store_kind}"
        # Canaille compares redirect URIs letter by letter, the port included.
        comes_back_to_one_port = self._provider_kind == "canaille"
        names = [
            "services",
            self._provider_kind,
            database,
            self._store_kind,
            *(["login"] if comes_back_to_one_port else []),
        ]
        ports = kept_ports(self._folder, names)
        secrets = kept_secrets(
            self._folder,
            ["postgres", "orthanc", "web-client", "token-pepper", "session-key", "keycloak", "service-client"],
        )
        public_url = f"http://127.0.0.1:{ports['services']}"
        web_client = Client(
            client_id="kheops-web",
            name="KHEOPS",
            client_secret=secrets["web-client"],
            redirect_uris=(f"{public_url}/callback",),
            post_logout_redirect_uris=(f"{public_url}/",),
        )
        script_client = Client(client_id="kheops-curl", name="KHEOPS scripts", redirect_uris=(SCRIPT_REDIRECT,))
        command_line = Client(
            client_id="kheops-desktop",
            name="KHEOPS command line",
            redirect_uris=(f"http://127.0.0.1:{ports['login']}/callback",) if comes_back_to_one_port else (),
        )
        self._say("Starting PostgreSQL.")
        # Each store has a catalog of its own; one that speaks of another store's bytes would promise too much.
        postgres = start_postgres(
            self._processes, self._folder / database, port=ports[database], password=secrets["postgres"]
        )
        provider = self._start_provider(
            ports[self._provider_kind],
            public_url,
            (web_client, script_client, command_line),
            KeycloakSecrets(secrets["keycloak"], secrets["service-client"]),
        )
        store = self._start_store(ports[self._store_kind], secrets["orthanc"])
        self._say("Bringing the database up to date and starting the services.")
        services = start_services(
            self._processes,
            self._folder,
            port=ports["services"],
            postgres=postgres,
            store=store,
            provider=provider,
            web_client=web_client,
            token_pepper=secrets["token-pepper"],
            session_key=secrets["session-key"],
            extra=self._settings,
        )
        return _Parts(postgres, provider, store, services, web_client, script_client, ports.get("login"))

    def _start_provider(
        self, port: int, public_url: str, clients: tuple[Client, Client, Client], keycloak: KeycloakSecrets
    ) -> Provider:
        web_client, script_client, _ = clients
        if self._provider_kind == "keycloak":
            self._say("Starting the login provider (Keycloak); the first time it takes half a minute and more.")
            return start_keycloak(
                self._processes,
                self._folder / "keycloak",
                port=port,
                public_url=public_url,
                web_client=web_client,
                script_client=script_client,
                secrets=keycloak,
            )
        self._say("Starting the login provider (canaille).")
        return start_canaille(
            self._processes,
            self._folder / "canaille",
            port=port,
            people=demo_people(),
            clients=clients,
        )

    def _start_store(self, port: int, password: str) -> DicomStore:
        if self._store_kind == "orthanc":
            self._say("Starting the DICOM store (Orthanc).")
            return start_orthanc(self._processes, self._folder / "orthanc", port=port, password=password)
        self._say("Starting the DICOM store (Healthcare API emulator).")
        return start_emulator(self._processes, self._folder / "emulator", port=port, options=self._emulator_options)

    @property
    def _running(self) -> _Parts:
        if self._parts is None:
            raise ProcessError("the stack does not run")
        return self._parts

    @property
    def public_url(self) -> str:
        """The one address of pages and API."""
        return self._running.services.public_url

    @property
    def issuer(self) -> str:
        """The login provider's ``iss``."""
        return self._running.provider.issuer

    @property
    def provider(self) -> Provider:
        """The login provider."""
        return self._running.provider

    @property
    def people(self) -> tuple[Person, ...]:
        """Who can log in, with passwords."""
        return self._running.provider.people

    @property
    def script_client(self) -> Client:
        """The provider's public client for scripts."""
        return self._running.script_client

    @property
    def login_port(self) -> int | None:
        """The port of this machine that `kheops login` comes back to; ``None`` where any will do."""
        return self._running.login_port

    @property
    def store(self) -> DicomStore:
        """The DICOM store, with the credential that only the services have otherwise."""
        return self._running.store

    @property
    def postgres(self) -> Postgres:
        """The database."""
        return self._running.postgres

    @property
    def services(self) -> Services:
        """The services, with their settings."""
        return self._running.services

    @property
    def processes(self) -> Processes:
        """The children."""
        return self._processes

    def access_token(self, user_name: str) -> str:
        """Log somebody in with their password and return their access token; good for an hour."""
        person = next(person for person in self.people if person.user_name == user_name)
        return log_in(self.issuer, self.script_client, user_name=user_name, password=person.password)


def demo_people() -> tuple[Person, ...]:
    """Return the people of every stack. Their passwords are no secrets: everything listens on loopback only."""
    names = (
        ("alice", "Alice", "Adams", (_GROUP,)),
        ("bob", "Bob", "Brown", (_GROUP,)),
        ("carol", "Carol", "Clark", ()),
    )
    everybody = [
        Person(user, given, family, password=f"{user}-demo", email=f"{user}@{_EMAIL_DOMAIN}", groups=groups)
        for user, given, family, groups in names
    ]
    administrator = Person(
        "dora", "Dora", "Dean", password="dora-demo", email=f"dora@{_EMAIL_DOMAIN}", groups=(ADMINISTRATORS,)
    )
    return (*everybody, administrator)


def _remove_data(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the stack's lock, which the kernel releases when we die."""
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackRunningError(
                f"This stack runs already, in process {lock.read().strip() or '?'}; its folder is {folder}. "
                f"End that process first (Ctrl-C)."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
