"""Keycloak's administration REST API, as far as the tests need it."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from local.keycloak import ADMINISTRATOR, REALM, Keycloak
from local.provider import Client, Person

__all__ = ["Administration", "administration", "password_token"]

_REFRESH_AFTER_SECONDS = 30


def password_token(keycloak: Keycloak, realm: str, user: str, password: str) -> str:
    """Return a token of Keycloak's own client for administrators."""
    answer = httpx.post(
        f"{keycloak.address}/realms/{realm}/protocol/openid-connect/token",
        data={"grant_type": "password", "client_id": "admin-cli", "username": user, "password": password},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


class Administration:
    """Keycloak's administrator at work in our realm."""

    def __init__(self, keycloak: Keycloak, http: httpx.Client) -> None:
        self._keycloak = keycloak
        self._http = http
        self._token = ""
        self._since = float("-inf")

    def call(self, method: str, path: str, *, status: int, json: object = None) -> httpx.Response:
        """Call below the realm."""
        # Its tokens are good for a minute.
        if time.monotonic() - self._since > _REFRESH_AFTER_SECONDS:
            self._token = password_token(self._keycloak, "master", ADMINISTRATOR, self._keycloak.secrets.administrator)
            self._since = time.monotonic()
        answer = self._http.request(
            method,
            f"{self._keycloak.address}/admin/realms/{REALM}{path}",
            headers={"Authorization": f"Bearer {self._token}"},
            json=json,
        )
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer

    def new_person(self, name: str, *, email_verified: bool = True) -> Person:
        """Make somebody of whom no other test knows."""
        user_name = f"{name}-{secrets.token_hex(4)}"
        person = Person(user_name, name.title(), "Test", secrets.token_urlsafe(12), f"{user_name}@example.org")
        self.call(
            "POST",
            "/users",
            status=201,
            json={
                "username": person.user_name,
                "enabled": True,
                "firstName": person.given_name,
                "lastName": person.family_name,
                "email": person.email,
                "emailVerified": email_verified,
                "credentials": [{"type": "password", "value": person.password, "temporary": False}],
            },
        )
        return person

    def user(self, user_name: str) -> dict[str, Any]:
        """Return somebody's record."""
        (found,) = self.call("GET", f"/users?exact=true&username={user_name}", status=200).json()
        assert isinstance(found, dict)
        return found

    def sub(self, user_name: str) -> str:
        """Return somebody's ``sub``."""
        return str(self.user(user_name)["id"])

    def disable(self, user_name: str) -> None:
        """Disable somebody's account."""
        self.change(user_name, enabled=False)

    def new_client(self, name: str, redirect_uri: str) -> tuple[Client, str]:
        """Register a client of the realm that has nothing to do with us; return also whom its tokens are for."""
        audience = {
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {"included.custom.audience": "account", "access.token.claim": "true"},
        }
        self.call(
            "POST",
            "/clients",
            status=201,
            json={
                "clientId": name,
                "publicClient": True,
                "redirectUris": [redirect_uri],
                "defaultClientScopes": ["basic", "profile", "email"],
                "protocolMappers": [audience],
                "attributes": {"access.token.header.type.rfc9068": "true"},
            },
        )
        return Client(name, name, (redirect_uri,)), "account"

    def set_members(self, group: str, *members: Person) -> None:
        """Let these people be in a group, and nobody else; make it where it is not there yet."""
        found = self.call("GET", f"/groups?exact=true&search={group}", status=200).json()
        if not found:
            self.call("POST", "/groups", status=201, json={"name": group})
            found = self.call("GET", f"/groups?exact=true&search={group}", status=200).json()
        (record,) = found
        present = {each["id"] for each in self.call("GET", f"/groups/{record['id']}/members", status=200).json()}
        wanted = {self.sub(each.user_name) for each in members}
        for user in wanted - present:
            self.call("PUT", f"/users/{user}/groups/{record['id']}", status=204)
        for user in present - wanted:
            self.call("DELETE", f"/users/{user}/groups/{record['id']}", status=204)

    def new_key(self) -> None:
        """Sign with a new key from now on, the old one being still published."""
        realm = self.call("GET", "", status=200).json()["id"]
        self.call(
            "POST",
            "/components",
            status=201,
            json={
                "name": f"newer-{secrets.token_hex(4)}",
                "providerId": "rsa-generated",
                "providerType": "org.keycloak.keys.KeyProvider",
                "parentId": realm,
                "config": {"priority": ["1000"], "algorithm": ["RS256"], "enabled": ["true"], "active": ["true"]},
            },
        )

    def change(self, user_name: str, **changes: object) -> None:
        """Change somebody's record."""
        record = self.user(user_name)
        self.call("PUT", f"/users/{record['id']}", status=204, json={**record, **changes})


@contextmanager
def administration(keycloak: Keycloak) -> Iterator[Administration]:
    """Give the administrator."""
    with httpx.Client(trust_env=False, timeout=60) as http:
        yield Administration(keycloak, http)
