"""Our own services of a stack: the migrations, then every handler of ``functions/`` in one Granian process."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.allocator import ALLOCATOR
from local.dicom_store import DicomStore
from local.kept_secrets import write_private
from local.postgres import Postgres
from local.processes import ChildProcess, Processes, answers_http, run_to_end
from local.provider import ADMINISTRATORS, Client, Provider

__all__ = ["Services", "start_services"]

_REPOSITORY: Final = Path(__file__).resolve().parent.parent
_START_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Services:
    """The running services."""

    public_url: str
    environment: Mapping[str, str]
    """Their ``KHEOPS_*`` settings; the ``kheops`` command line takes the same. It contains secrets."""
    child: ChildProcess


def start_services(
    processes: Processes,
    folder: Path,
    *,
    port: int,
    postgres: Postgres,
    store: DicomStore,
    provider: Provider,
    web_client: Client,
    token_pepper: str,
    session_key: str,
    extra: Mapping[str, str],
) -> Services:
    """Bring the schema up to date and start the services.

    Parameters
    ----------
    processes
        What they will be children of.
    folder
        Where the file with the issuers lies.
    port
        Of the public address.
    postgres, store, provider
        What they work with, running.
    web_client
        The provider's client for the web pages.
    token_pepper, session_key
        Kept secrets: another pepper would end every capability token.
    extra
        Further settings, which win.

    Raises
    ------
    ProcessError
        If the migrations fail or the services do not answer.
    """
    public_url = f"http://127.0.0.1:{port}"
    issuers = folder / "issuers.json"
    write_private(issuers, json.dumps([provider.issuer_settings(web_client)], indent=2))
    administrators = [{"issuer": provider.issuer, "claim": "groups", "value": ADMINISTRATORS}]
    environment = {
        "KHEOPS_PUBLIC_URL": public_url,
        "KHEOPS_DATABASE_URL": postgres.url,
        "KHEOPS_ISSUERS": f"@{issuers}",
        "KHEOPS_ADMINISTRATORS": json.dumps(administrators),
        "KHEOPS_TOKEN_PEPPER": token_pepper,
        "KHEOPS_SESSION_KEY": session_key,
        "KHEOPS_MAIL_FROM": "kheops@localhost.localdomain",
        "KHEOPS_MAIL_FOLDER": str(folder / "mail"),
        **store.settings,
        **extra,
    }
    migrate(environment)
    child = processes.start(
        "services",
        [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "asgi", "--http", "auto", "--host", "127.0.0.1", "--port", str(port)),
            # At a lower level Granian logs a line for each chunk whose client has left.
            *("--log-level", "warning", "--no-access-log", "local.gateway:app"),
        ],
        ready=lambda: answers_http(f"{public_url}/api/readiness"),
        environment={**ALLOCATOR, **environment},
        folder=_REPOSITORY,
        deadline_seconds=_START_SECONDS,
    )
    return Services(public_url=public_url, environment=environment, child=child)


def migrate(environment: Mapping[str, str]) -> None:
    """Bring the database's schema up to date, with the services' settings."""
    kheops = str(Path(sys.executable).with_name("kheops"))
    run_to_end("kheops migrate", [kheops, "migrate"], environment=environment, folder=_REPOSITORY)
