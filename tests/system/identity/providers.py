"""Two real OpenID Connect providers on loopback: npm's oidc-provider, and canaille with people's passwords."""

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx

from kheops.config import IssuerSettings
from tests.system.identity.browser import log_in

__all__ = ["REDIRECT_URI", "Provider", "Tokens", "canaille", "oidc_provider"]

REDIRECT_URI = "http://127.0.0.1:9/callback"
"""Nobody listens there; the browser of the tests stops before it."""

_NODE_PROJECT = Path(__file__).parents[2] / "oidc_provider"
_NEEDED_NODE = 20
_START_SECONDS = 30


@dataclass(frozen=True)
class Tokens:
    """What a code was worth."""

    access_token: str
    id_token: str


@dataclass
class Provider:
    """A running provider, our client at it, and two people."""

    settings: IssuerSettings
    passwords: Mapping[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    _metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return self.settings.issuer

    @property
    def client_id(self) -> str:
        assert self.settings.client_id is not None
        return self.settings.client_id

    def endpoint(self, name: str) -> str:
        if not self._metadata:
            url = f"{self.issuer}/.well-known/openid-configuration"
            self._metadata = httpx.get(url, trust_env=False, timeout=20).json()
        return str(self._metadata[name])

    def authorize(self, user: str, *, verifier: str, **parameters: str) -> str:
        """Log ``user`` in by the provider's pages, and return the code."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid profile email",
            "state": "a-state",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **parameters,
        }
        url = f"{self.endpoint('authorization_endpoint')}?{urlencode(query)}"
        answer = parse_qs(self.browse(url, user))
        return answer["code"][0]

    def browse(self, url: str, user: str) -> str:
        """Open a login page as ``user``, and return the query that comes back to the redirect URI."""
        return log_in(url, redirect_uri=REDIRECT_URI, user=user, password=self.passwords[user])

    def redeem(self, code: str, *, verifier: str, **parameters: str) -> httpx.Response:
        """Redeem a code as our client."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier,
            **parameters,
        }
        secret = self.settings.client_secret
        if secret is None:
            form["client_id"] = self.client_id
        return httpx.post(
            self.endpoint("token_endpoint"),
            data=form,
            auth=None if secret is None else (self.client_id, secret.get_secret_value()),
            trust_env=False,
            timeout=20,
        )

    def tokens(self, user: str, *, resource: str | None = None, **parameters: str) -> Tokens:
        """Log ``user`` in and return the tokens; for ``resource`` where the provider knows resources."""
        verifier = secrets.token_urlsafe(32)
        extra = {} if resource is None else {"resource": resource}
        code = self.authorize(user, verifier=verifier, **extra, **parameters)
        answer = self.redeem(code, verifier=verifier, **extra)
        assert answer.status_code == httpx.codes.OK, (answer.status_code, answer.text)
        document = answer.json()
        return Tokens(document["access_token"], document["id_token"])


@contextmanager
def oidc_provider(folder: Path, *, port: int | None = None) -> Iterator[Provider]:
    """Run npm's oidc-provider: ``at+jwt`` access tokens, a public client, any password, new keys at each start."""
    node = _node()
    _install()
    port = port or _free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = IssuerSettings(
        issuer=issuer,
        audiences=("urn:kheops:RS256", "urn:kheops:ES256", "urn:kheops:PS256"),
        access_token_typ="at+jwt",
        email_domains=("hospital.example",),
        client_id="kheops-web",
    )
    people = {"alice": "any word", "bob": "any word"}
    with _running([node, "op.mjs", str(port)], folder / "oidc-provider.log", cwd=_NODE_PROJECT) as process:
        yield _ready(Provider(settings, people, process, folder / "oidc-provider.log"))


@contextmanager
def canaille(folder: Path) -> Iterator[Provider]:
    """Run canaille: access tokens that look like ID tokens, a confidential client, people with passwords."""
    port = _free_port()
    issuer = f"http://127.0.0.1:{port}"
    secret = secrets.token_urlsafe(24)
    people = {"alice": secrets.token_urlsafe(12), "bob": secrets.token_urlsafe(12)}
    environment = {**os.environ, "CANAILLE_CONFIG": str(folder / "canaille.toml")}
    command = str(Path(sys.executable).parent / "canaille")

    def set_up(*arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (arguments[:2], done.stderr)
        return done.stdout

    _configure_canaille(folder, port, jwk=None)
    _configure_canaille(folder, port, jwk=json.loads(set_up("jwk", "create", "rsa")))
    set_up("install")
    for name, password in people.items():
        names = (
            "--given-name",
            name.title(),
            "--family-name",
            "Example",
            "--formatted-name",
            f"{name.title()} Example",
        )
        mail = ("--emails", f"{name}@hospital.example")
        set_up("create", "user", "--user-name", name, "--password", password, *mail, *names)
    client = (
        "--client-id",
        "kheops-web",
        "--client-secret",
        secret,
        "--token-endpoint-auth-method",
        "client_secret_basic",
    )
    scopes = tuple(word for scope in ("openid", "profile", "email") for word in ("--scope", scope))
    grants = ("--redirect-uris", REDIRECT_URI, "--grant-types", "authorization_code", "--response-types", "code")
    set_up("create", "client", *client, "--client-name", "KHEOPS", *grants, *scopes)
    set_up("set", "client", "kheops-web", "--audience", "kheops-web")
    settings = IssuerSettings.model_validate(
        {
            "issuer": issuer,
            "audiences": ("kheops-web",),
            "id_token_claims": ("nonce", "at_hash", "amr"),
            "email_domains": ("hospital.example",),
            "email_verified": "assumed",
            "client_id": "kheops-web",
            "client_secret": secret,
        }
    )
    with _running([command, "run"], folder / "canaille.log", cwd=folder, env=environment) as process:
        yield _ready(Provider(settings, people, process, folder / "canaille.log"))


def _configure_canaille(folder: Path, port: int, *, jwk: Mapping[str, str] | None) -> None:
    lines = [
        f'SECRET_KEY = "{secrets.token_urlsafe(32)}"',
        f'SERVER_NAME = "127.0.0.1:{port}"',
        'PREFERRED_URL_SCHEME = "http"',
        "[CANAILLE]",
        'NAME = "Test"',
        'TIMEZONE = "UTC"',
        "[CANAILLE_SQL]",
        f'DATABASE_URI = "sqlite:///{folder / "canaille.sqlite"}"',
        "[CANAILLE_HYPERCORN]",
        f'BIND = "127.0.0.1:{port}"',
        "[CANAILLE_OIDC]",
    ]
    if jwk is not None:
        members = ", ".join(f'{name} = "{value}"' for name, value in {**jwk, "alg": "RS256", "use": "sig"}.items())
        lines.append(f"ACTIVE_JWKS = [{{ {members} }}]")
    (folder / "canaille.toml").write_text("\n".join(lines) + "\n")


def _node() -> str:
    node = shutil.which("node")
    assert node is not None, "these tests need Node 20 or later on the PATH"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    assert int(version.strip().lstrip("v").split(".")[0]) >= _NEEDED_NODE, f"these tests need Node 20, not {version}"
    return node


def _install() -> None:
    if (_NODE_PROJECT / "node_modules" / "oidc-provider" / "package.json").exists():
        return
    npm = shutil.which("npm")
    assert npm is not None, "these tests need npm on the PATH"
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=_NODE_PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(
    command: list[str], log: Path, *, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a provider and the workers that it started, and nothing else."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=5)


def _ready(provider: Provider) -> Provider:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            provider.endpoint("issuer")
        except (httpx.HTTPError, ValueError):
            ended = provider.process.poll() is not None
            if ended or time.monotonic() > deadline:
                text = provider.log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"{provider.issuer} does not start: {text}") from None
            time.sleep(0.1)
        else:
            return provider
