"""What is written down twice about Keycloak, and must be the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local import keycloak
from local.keycloak import VERSION, Keycloak, KeycloakSecrets, people_of_the_realm, start_keycloak
from local.processes import ProcessError, Processes
from local.provider import Client
from local.stack import demo_people

_ROOT = Path(__file__).resolve().parents[2]
_CLIENT = Client("kheops-web", "KHEOPS", ("http://127.0.0.1:1/callback",), client_secret="s" * 32)


def _realm() -> dict[str, Any]:
    realm: dict[str, Any] = json.loads((_ROOT / "local/keycloak/realm.json").read_text("utf-8"))
    return realm


def test_the_set_up_fetches_the_version_that_is_started() -> None:
    text = (_ROOT / "local/setup.sh").read_text("utf-8")
    assert re.findall(r"^KEYCLOAK_VERSION=(.*)$", text, re.MULTILINE) == [VERSION]


def test_the_same_people_log_in_at_either_provider() -> None:
    assert people_of_the_realm() == demo_people()


def test_the_realm_holds_no_secret_and_every_code_needs_pkce() -> None:
    for client in _realm()["clients"]:
        assert client.get("secret", "${").startswith("${")
        assert not client["implicitFlowEnabled"]
        assert not client["directAccessGrantsEnabled"]
        assert not client["fullScopeAllowed"]
        assert client["attributes"]["access.token.header.type.rfc9068"] == "true"
        assert not client["standardFlowEnabled"] or client["attributes"]["pkce.code.challenge.method"] == "S256"
        assert not any("*" in uri for uri in client["redirectUris"])


def test_settings_take_access_tokens_for_kheops_only() -> None:
    settings = Keycloak("http://127.0.0.1:1", demo_people(), KeycloakSecrets("a", "b")).issuer_settings(_CLIENT)
    assert (settings["audiences"], settings["access_token_typ"]) == (["kheops"], "at+jwt")
    assert settings["email_domains"] == ["example.org"]
    assert "email_verified" not in settings


def test_groups_are_in_the_claim_that_the_settings_name_for_all_clients_that_people_log_in_at() -> None:
    settings = Keycloak("http://127.0.0.1:1", demo_people(), KeycloakSecrets("a", "b")).issuer_settings(_CLIENT)
    realm = _realm()
    (scope,) = (each for each in realm["clientScopes"] if each["name"] == "groups")
    (mapper,) = scope["protocolMappers"]
    assert mapper["protocolMapper"] == "oidc-group-membership-mapper"
    said = mapper["config"]
    assert said["claim.name"] == settings["groups_claim"]
    # A session has them from the ID token, a program from the access token; both by their plain names.
    assert (said["id.token.claim"], said["access.token.claim"], said["full.path"]) == ("true", "true", "false")
    by_people = [each for each in realm["clients"] if each["standardFlowEnabled"]]
    assert all("groups" in each["defaultClientScopes"] for each in by_people)
    assert {group for person in demo_people() for group in person.groups} == {each["name"] for each in realm["groups"]}


def test_absent_keycloak_is_said_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keycloak, "_DISTRIBUTION", tmp_path / "nothing")
    with Processes(tmp_path / "logs") as processes, pytest.raises(ProcessError, match=r"`local/setup\.sh keycloak`"):
        start_keycloak(
            processes,
            tmp_path / "keycloak",
            port=1,
            public_url="http://127.0.0.1:1",
            web_client=_CLIENT,
            script_client=_CLIENT,
            secrets=KeycloakSecrets("a", "b"),
        )
    assert not (tmp_path / "keycloak").exists()


def test_data_of_a_realm_that_has_changed_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution, folder = tmp_path / "distribution", tmp_path / "keycloak"
    (distribution / "bin").mkdir(parents=True)
    (distribution / "bin" / "kc.sh").write_text("#", "utf-8")
    (distribution / "lib").mkdir()
    monkeypatch.setattr(keycloak, "_DISTRIBUTION", distribution)
    keycloak._prepare(folder, "an address")
    database = folder / "data" / "h2"
    database.mkdir()
    keycloak._prepare(folder, "an address")
    assert database.exists()
    assert (folder / "lib").resolve() == distribution / "lib"
    keycloak._prepare(folder, "another address")
    assert not database.exists()
    assert (distribution / "lib").exists()
    assert (folder / "data" / "import" / "realm.json").exists()
