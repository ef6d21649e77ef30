"""Keycloak started twice on the same folder."""

from pathlib import Path

import httpx
import jwt
import pytest

from local.keycloak import Keycloak, KeycloakSecrets, start_keycloak, why_not_here
from local.oidc_login import log_in
from local.ports import kept_ports
from local.processes import Processes
from local.provider import Client

_WEB = Client("kheops-web", "KHEOPS", ("http://127.0.0.1:1/callback",), client_secret="the-web-client's-secret")
_SCRIPTS = Client("kheops-curl", "Scripts", ("http://127.0.0.1:1/signed-in",))
_SECRETS = KeycloakSecrets("an-administrator's-password", "a-service-account's-secret")


def _start(processes: Processes, root: Path) -> Keycloak:
    return start_keycloak(
        processes,
        root / "keycloak",
        port=kept_ports(root, ["keycloak"])["keycloak"],
        public_url="http://127.0.0.1:1",
        web_client=_WEB,
        script_client=_SCRIPTS,
        secrets=_SECRETS,
    )


@pytest.mark.long
def test_keycloak_keeps_its_keys_and_its_log_tells_no_secret(tmp_path: Path) -> None:
    reason = why_not_here()
    if reason is not None:
        pytest.skip(reason)
    with Processes(tmp_path / "logs") as processes:
        issuer = _start(processes, tmp_path).issuer
        token = log_in(issuer, _SCRIPTS, user_name="alice", password="alice-demo")
    with Processes(tmp_path / "logs") as processes:
        assert _start(processes, tmp_path).issuer == issuer
        certificates = httpx.get(f"{issuer}/protocol/openid-connect/certs", trust_env=False, timeout=60).json()
        kid = jwt.get_unverified_header(token)["kid"]
        (member,) = (each for each in certificates["keys"] if each["kid"] == kid)
        key = jwt.PyJWK.from_dict(member)
        claims = jwt.decode(token, key, algorithms=["RS256"], audience="kheops", issuer=issuer)
        assert claims["preferred_username"] == "alice"
    log = (tmp_path / "logs" / "keycloak.log").read_text("utf-8", errors="replace")
    for secret in (token, "alice-demo", _SECRETS.administrator, _SECRETS.service_client, str(_WEB.client_secret)):
        assert secret not in log
