"""The OpenID Connect provider of a stack: canaille, with a login page, passwords, groups and consent."""

import hashlib
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.kept_secrets import write_private
from local.processes import Processes, answers_http, run_to_end
from local.provider import Client, Person

__all__ = ["Canaille", "start_canaille"]

_HOUR_SECONDS: Final = 60 * 60


@dataclass(frozen=True, slots=True)
class Canaille:
    """A running provider."""

    issuer: str
    people: tuple[Person, ...]
    clients: tuple[Client, ...]

    def issuer_settings(self, web_client: Client) -> dict[str, Any]:
        """Return the element of ``KHEOPS_ISSUERS`` for this provider. It contains the client's secret."""
        return {
            "issuer": self.issuer,
            "audiences": [client.client_id for client in self.clients],
            # It signs access and ID tokens alike, with the same typ, key, issuer and audience. It insists on a nonce
            # at the authorization endpoint, so each ID token carries one, and access tokens never do.
            "id_token_claims": ["nonce"],
            "email_domains": sorted({person.email.partition("@")[2] for person in self.people}),
            # It sends no email_verified; its addresses are the ones that its administrator entered.
            "email_verified": "assumed",
            "client_id": web_client.client_id,
            "client_secret": web_client.client_secret,
            "scopes": ["openid", "profile", "email", "groups"],
            "groups_claim": "groups",
            "label": "Demo login",
            # It takes a form for the answer to its own question, and loses where to go back to.
            "logout": "get",
        }


def start_canaille(
    processes: Processes,
    folder: Path,
    *,
    port: int,
    people: tuple[Person, ...],
    clients: tuple[Client, ...],
    further: str = "",
) -> Canaille:
    """Start the provider in ``folder``, with ``people`` and ``clients`` registered.

    Its RSA key is made once and kept, so that tokens of an earlier start stay good. ``further`` are lines of its
    settings of OpenID Connect.

    Raises
    ------
    ProcessError
        If it cannot be set up or started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    configuration = folder / "canaille.toml"
    write_private(configuration, _configuration(folder, port, further))
    environment = {"CANAILLE_CONFIG": str(configuration)}
    _seed(folder, environment, people, clients)
    issuer = f"http://127.0.0.1:{port}"
    processes.start(
        "canaille",
        [
            str(Path(sys.executable).with_name("hypercorn")),
            *("--bind", f"127.0.0.1:{port}"),
            # One process, not a parent and a worker: a demo's load needs no more.
            *("--workers", "0"),
            "canaille.hypercorn.app:create_app()",
        ],
        ready=lambda: answers_http(f"{issuer}/.well-known/openid-configuration"),
        environment=environment,
        folder=folder,
        deadline_seconds=60,
    )
    return Canaille(issuer=issuer, people=people, clients=clients)


def _seed(folder: Path, environment: dict[str, str], people: tuple[Person, ...], clients: tuple[Client, ...]) -> None:
    wanted = json.dumps({"people": [asdict(each) for each in people], "clients": [asdict(each) for each in clients]})
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    stamp = folder / "seeded"
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return
    seed = folder / "seed.json"
    write_private(seed, wanted)
    try:
        run_to_end(
            "canaille's set-up",
            [sys.executable, "-m", "local.canaille_seed", str(seed)],
            environment=environment,
            folder=Path(__file__).resolve().parent.parent,
        )
    finally:
        seed.unlink()
    stamp.write_text(digest, "utf-8")


def _configuration(folder: Path, port: int, further: str) -> str:
    key = _kept_key(folder / "key.json")
    cookie_key = _kept_text(folder / "cookie-key")
    inline_key = ", ".join(f"{name} = {json.dumps(value)}" for name, value in key.items())
    return f"""SECRET_KEY = {json.dumps(cookie_key)}
SERVER_NAME = "127.0.0.1:{port}"
PREFERRED_URL_SCHEME = "http"
# Each server on 127.0.0.1 gets the others' cookies: the name keeps two demos apart.
SESSION_COOKIE_NAME = "canaille_{port}"

[CANAILLE]
NAME = "KHEOPS demo login"
TIMEZONE = "UTC"
ENABLE_PASSWORD_RECOVERY = false

[CANAILLE_SQL]
DATABASE_URI = {json.dumps(f"sqlite:///{folder / 'canaille.sqlite'}")}

[CANAILLE_OIDC]
ACTIVE_JWKS = [{{ {inline_key} }}]
{further}

[OAUTH2_TOKEN_EXPIRES_IN]
authorization_code = {_HOUR_SECONDS}
"""


def _kept_key(file: Path) -> dict[str, str]:
    if not file.exists():
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(private_key, as_dict=True)
        # "key_ops" is a list, which canaille's settings do not take.
        kept = {name: value for name, value in jwk.items() if isinstance(value, str)}
        write_private(file, json.dumps({**kept, "kid": secrets.token_hex(8), "alg": "RS256", "use": "sig"}))
    key: dict[str, str] = json.loads(file.read_text("utf-8"))
    return key


def _kept_text(file: Path) -> str:
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32))
    return file.read_text("utf-8")
