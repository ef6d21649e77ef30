"""The parts that keep something of value, started twice on the same folder."""

import os
import stat
from pathlib import Path

import httpx
import jwt
import pg8000.native
import pytest

from local.canaille import Canaille, start_canaille
from local.oidc_login import LoginError, log_in
from local.orthanc import start_orthanc
from local.ports import kept_ports
from local.postgres import Postgres, start_postgres
from local.processes import ProcessError, Processes
from local.provider import ADMINISTRATORS, Client, Person
from local.smoke.caller import multipart
from local.smoke.dicom_files import load

_PASSWORD = "a-password-of-the-tests"


def _connect(server: Postgres, password: str = _PASSWORD) -> pg8000.native.Connection:
    return pg8000.native.Connection("kheops", password=password, host="127.0.0.1", port=server.port, database="kheops")


def test_postgres_keeps_its_rows_and_takes_no_other_password(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "postgres"
    port = kept_ports(tmp_path, ["postgres"])["postgres"]
    with Processes(tmp_path / "logs") as processes:
        server = start_postgres(processes, folder, port=port, password=_PASSWORD)
        connection = _connect(server)
        connection.run("CREATE TABLE kept (name text)")
        connection.run("INSERT INTO kept VALUES ('山田^太郎')")
        connection.close()
        with pytest.raises(pg8000.native.DatabaseError):
            _connect(server, "another")
    with Processes(tmp_path / "logs") as processes:
        connection = _connect(start_postgres(processes, folder, port=port, password=_PASSWORD))
        assert connection.run("SELECT name FROM kept") == [["山田^太郎"]]
        connection.close()
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert not (folder / "initial-password").exists()
    assert _PASSWORD not in (tmp_path / "logs/postgres.log").read_text("utf-8")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL under another account")
def test_postgres_starts_below_a_folder_that_is_closed_to_its_account(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    port = kept_ports(tmp_path / "ports", ["postgres"])["postgres"]
    with Processes(tmp_path / "logs") as processes:
        connection = _connect(start_postgres(processes, closed / "postgres", port=port, password=_PASSWORD))
        assert connection.run("SELECT 1") == [[1]]
        connection.close()


def _start_provider(processes: Processes, folder: Path, port: int, *people: Person) -> Canaille:
    clients = (
        Client("web", "Web", ("http://127.0.0.1:1/callback",), client_secret="the-web-client's-secret"),
        Client("scripts", "Scripts", ("http://127.0.0.1:1/signed-in",)),
    )
    return start_canaille(processes, folder, port=port, people=people, clients=clients)


def test_the_provider_keeps_its_key_and_people_and_tells_its_token_kinds_apart(tmp_path: Path) -> None:
    alice = Person("alice", "Alice", "Adams", "alice-password", "alice@example.org")
    dora = Person("dora", "Dora", "Dean", "dora-password", "dora@example.org", (ADMINISTRATORS,))
    folder = tmp_path / "canaille"
    port = kept_ports(tmp_path, ["canaille"])["canaille"]
    with Processes(tmp_path / "logs") as processes:
        provider = _start_provider(processes, folder, port, alice)
        token = log_in(provider.issuer, provider.clients[1], user_name="alice", password=alice.password)
        with pytest.raises(LoginError, match="wrong name or password"):
            log_in(provider.issuer, provider.clients[1], user_name="alice", password="a guess")
    with Processes(tmp_path / "logs") as processes:
        provider = _start_provider(processes, folder, port, alice, dora)
        metadata = httpx.get(f"{provider.issuer}/.well-known/openid-configuration", trust_env=False).json()
        keys = jwt.PyJWKSet.from_dict(httpx.get(metadata["jwks_uri"], trust_env=False).json())
        key = keys[str(jwt.get_unverified_header(token)["kid"])]
        claims = jwt.decode(token, key, algorithms=["RS256"], audience="scripts", issuer=provider.issuer)
        assert claims["sub"] == "alice"
        administrator = log_in(provider.issuer, provider.clients[0], user_name="dora", password=dora.password)
        claims = jwt.decode(administrator, key, algorithms=["RS256"], audience="web", issuer=provider.issuer)
        assert claims["groups"] == [ADMINISTRATORS]
        settings = provider.issuer_settings(provider.clients[0])
        assert not set(settings["id_token_claims"]) & claims.keys()
        assert settings["audiences"] == ["web", "scripts"]
    assert stat.S_IMODE((folder / "canaille.toml").stat().st_mode) == 0o600
    for secret in (alice.password, dora.password, token, administrator):
        assert secret not in (tmp_path / "logs/canaille.log").read_text("utf-8")


def test_orthanc_asks_for_its_credential_and_keeps_what_it_stores(tmp_path: Path) -> None:
    port = kept_ports(tmp_path, ["orthanc"])["orthanc"]
    with Processes(tmp_path / "logs") as processes:
        try:
            store = start_orthanc(processes, tmp_path / "orthanc", port=port, password=_PASSWORD)
        except ProcessError as error:
            if "is not installed" in str(error):
                pytest.skip(str(error))
            raise
        assert httpx.get(f"{store.dicomweb}/studies", trust_env=False).status_code == 401
        file = load().structured_report
        content_type, content = multipart([file.body])
        header = {"authorization": store.authorization(), "content-type": content_type}
        stored = httpx.post(f"{store.dicomweb}/studies", headers=header, content=content, trust_env=False)
        assert stored.status_code == 200
    with Processes(tmp_path / "logs") as processes:
        store = start_orthanc(processes, tmp_path / "orthanc", port=port, password=_PASSWORD)
        header = {"authorization": store.authorization()}
        (study,) = httpx.get(f"{store.dicomweb}/studies", headers=header, trust_env=False).json()
        assert study["0020000D"]["Value"] == [file.study]
    assert stat.S_IMODE((tmp_path / "orthanc/orthanc.json").stat().st_mode) == 0o600
