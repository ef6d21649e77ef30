"""Keycloak as the login provider of a stack: the real one, from its distribution, with ``local/keycloak/realm.json``.

The distribution is fetched and built once by ``local/setup.sh keycloak``. Each stack has a home folder of its own
with database and realm, in which the distribution's libraries are linked. ``start --optimized`` is used, not
``start-dev``: that one builds anew into the libraries' folder, which two stacks at once must not do.
"""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local.kept_secrets import write_private
from local.processes import ProcessError, Processes, answers_http
from local.provider import Client, Person

__all__ = [
    "ADMINISTRATOR",
    "REALM",
    "VERSION",
    "Keycloak",
    "KeycloakSecrets",
    "people_of_the_realm",
    "start_keycloak",
    "start_options",
    "why_not_here",
]

VERSION: Final = "26.7.3"
"""``local/setup.sh`` fetches the same one; a test compares."""
REALM: Final = "kheops"
ADMINISTRATOR: Final = "admin"
"""Who administers Keycloak itself, in its realm ``master``; none of the stack's people."""

_REPOSITORY: Final = Path(__file__).resolve().parent.parent
_DISTRIBUTION: Final = _REPOSITORY / ".local" / "cache" / f"keycloak-{VERSION}"
_REALM_FILE: Final = Path(__file__).resolve().parent / "keycloak" / "realm.json"
_OLDEST_JAVA: Final = 17
_START_SECONDS: Final = 300
"""The first start makes the database: 20 s on an idle machine, several times that on a busy one."""


@dataclass(frozen=True, slots=True)
class KeycloakSecrets:
    """Kept secrets of a Keycloak."""

    administrator: str = field(repr=False)
    """Password of `ADMINISTRATOR`."""
    service_client: str = field(repr=False)
    """Of the client ``kheops-service``, a service account."""


@dataclass(frozen=True, slots=True)
class Keycloak:
    """A running Keycloak."""

    address: str
    """Its root, outside of any realm."""
    people: tuple[Person, ...]
    secrets: KeycloakSecrets

    @property
    def issuer(self) -> str:
        """The exact ``iss`` of its tokens."""
        return f"{self.address}/realms/{REALM}"

    def issuer_settings(self, web_client: Client) -> dict[str, Any]:
        """Return the element of ``KHEOPS_ISSUERS`` for this provider. It contains the client's secret."""
        return {
            "issuer": self.issuer,
            # The realm's audience mapper puts it into access tokens for us, and into no others.
            "audiences": ["kheops"],
            # By the clients' attribute access.token.header.type.rfc9068.
            "access_token_typ": "at+jwt",
            "email_domains": sorted({person.email.partition("@")[2] for person in self.people}),
            "client_id": web_client.client_id,
            "client_secret": web_client.client_secret,
            "scopes": ["openid", "profile", "email", "groups"],
            # By the realm's group membership mapper, without the groups' paths.
            "groups_claim": "groups",
            "label": "Keycloak",
        }


def why_not_here() -> str | None:
    """Return in plain words why Keycloak cannot run on this machine now, or ``None`` if it can."""
    if not (_DISTRIBUTION / "lib" / "quarkus-run.jar").exists():
        return (
            f"Keycloak {VERSION} is not in .local/cache; `local/setup.sh keycloak` fetches it from Maven Central, and "
            f"says why where it cannot"
        )
    java = shutil.which("java")
    if java is None:
        return f"Keycloak needs Java {_OLDEST_JAVA} or later, and there is no java on the PATH"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        return f"Keycloak needs Java {_OLDEST_JAVA} or later; the one on the PATH says {said.partition(chr(10))[0]!r}"
    return None


def people_of_the_realm() -> tuple[Person, ...]:
    """Return the people of ``realm.json``."""
    realm = json.loads(_REALM_FILE.read_text("utf-8"))
    return tuple(
        Person(
            user_name=user["username"],
            given_name=user["firstName"],
            family_name=user["lastName"],
            password=user["credentials"][0]["value"],
            email=user["email"],
            groups=tuple(path.removeprefix("/") for path in user.get("groups", ())),
        )
        for user in realm["users"]
    )


def start_keycloak(
    processes: Processes,
    folder: Path,
    *,
    port: int,
    public_url: str,
    web_client: Client,
    script_client: Client,
    secrets: KeycloakSecrets,
) -> Keycloak:
    """Start Keycloak in ``folder`` with the realm of ``local/keycloak/realm.json``.

    Database and keys are kept, so that tokens of an earlier start stay good. When the realm's file or what is filled
    into it has changed, they are made anew: Keycloak imports a realm that it has no second time.

    Parameters
    ----------
    processes
        What it will be a child of.
    folder
        Where its data lie.
    port
        Where it listens, on loopback.
    public_url
        Our own address, which browsers are sent back to.
    web_client, script_client
        ``kheops-web`` and ``kheops-curl`` of the realm.
    secrets
        Of its administrator and of its service account.

    Raises
    ------
    ProcessError
        If it is not there, or does not start.
    """
    reason = why_not_here()
    if reason is not None:
        raise ProcessError(f"{reason}.")
    filled_in = {
        "KHEOPS_PUBLIC_URL": public_url,
        # A viewer of its own address is in local/compose.yaml only.
        "KHEOPS_VIEWER_URL": public_url,
        "KHEOPS_CLIENT_SECRET": web_client.client_secret or "",
        "KHEOPS_SCRIPT_REDIRECT": script_client.redirect_uris[0],
        "KHEOPS_SERVICE_SECRET": secrets.service_client,
    }
    _prepare(folder, json.dumps(filled_in))
    address = f"http://127.0.0.1:{port}"
    keycloak = Keycloak(address=address, people=people_of_the_realm(), secrets=secrets)
    processes.start(
        "keycloak",
        [
            *("sh", str(folder / "bin" / "kc.sh"), "start", "--optimized"),
            *start_options(address=address, host="127.0.0.1", port=port),
        ],
        ready=lambda: answers_http(f"{keycloak.issuer}/.well-known/openid-configuration"),
        environment={
            **filled_in,
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": secrets.administrator,
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            # It starts in two thirds of the time; the second compiler pays off after minutes of load.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        },
        folder=folder,
        deadline_seconds=_START_SECONDS,
    )
    return keycloak


def start_options(*, address: str, host: str, port: int) -> list[str]:
    """Return the options of ``kc.sh start``, here and in ``local/compose.yaml``.

    Parameters
    ----------
    address
        How browsers reach it.
    host, port
        Where it listens.
    """
    return [
        *("--import-realm", "--http-enabled=true", f"--http-host={host}", f"--http-port={port}"),
        # Browsers and `iss` have this address; whoever asks at another gets that one for tokens and keys.
        *(f"--hostname={address}", "--hostname-backchannel-dynamic=true"),
        # The other kinds look for further nodes on every network of the machine.
        "--cache=local",
    ]


def _prepare(folder: Path, filled_in: str) -> None:
    """Make the home folder, without the data of another realm."""
    realm = _REALM_FILE.read_bytes()
    digest = hashlib.sha256(b"\0".join((VERSION.encode(), realm, filled_in.encode()))).hexdigest()
    stamp = folder / "made-from"
    if folder.exists() and not (stamp.exists() and stamp.read_text("utf-8") == digest):
        shutil.rmtree(folder)
    for name in ("bin", "conf", "providers", "data/import"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shutil.copyfile(_DISTRIBUTION / "bin" / "kc.sh", folder / "bin" / "kc.sh")
    shutil.copyfile(_REALM_FILE, folder / "data" / "import" / "realm.json")
    link = folder / "lib"
    if link.is_symlink():
        link.unlink()
    link.symlink_to(_DISTRIBUTION / "lib")
    write_private(stamp, digest)
