"""One stack with the real Keycloak for the whole run; without Keycloak the tests are skipped, and say why."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from kheops.config import IssuerSettings
from local.keycloak import Keycloak, why_not_here
from local.oidc_login import Tokens, new_browser, tokens_of
from local.provider import Client, Person
from local.stack import Stack
from tests.system.keycloak.administration import Administration, administration


@dataclass
class World:
    """The stack, its Keycloak, and who administers it."""

    stack: Stack
    keycloak: Keycloak
    administration: Administration

    @property
    def settings(self) -> IssuerSettings:
        """What the services are told of the issuer."""
        file = Path(self.stack.services.environment["KHEOPS_ISSUERS"].removeprefix("@"))
        (element,) = json.loads(file.read_text("utf-8"))
        return IssuerSettings.model_validate(element)

    def person(self, user_name: str) -> Person:
        return next(person for person in self.stack.people if person.user_name == user_name)

    def log_in(self, person: Person, browser: httpx.Client | None = None, **options: Any) -> Tokens:
        """Log in by the form, as the client for scripts."""
        client = options.pop("client", self.stack.script_client)
        with new_browser() as fresh:
            return tokens_of(
                browser or fresh,
                self.keycloak.issuer,
                client,
                user_name=person.user_name,
                password=person.password,
                **options,
            )

    def token_endpoint(self, **form: str) -> httpx.Response:
        """Ask the token endpoint as the client for scripts."""
        return httpx.post(
            f"{self.keycloak.issuer}/protocol/openid-connect/token",
            data={"client_id": self.stack.script_client.client_id, **form},
            trust_env=False,
            timeout=60,
        )

    def refresh(self, refresh_token: str | None) -> httpx.Response:
        assert refresh_token is not None
        return self.token_endpoint(grant_type="refresh_token", refresh_token=refresh_token)

    def api_status(self, token: str | None) -> int:
        """Return how the API answers a search with a token."""
        assert token is not None
        return httpx.get(
            f"{self.stack.public_url}/api/studies?limit=1",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=60,
        ).status_code

    def other_application(self, **attributes: object) -> Client:
        """Register a client of the same realm that has nothing to do with us: its tokens are for ``account``."""
        redirect_uri = "http://127.0.0.1:1/elsewhere"
        audience = {
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {"included.custom.audience": "account", "access.token.claim": "true"},
        }
        self.administration.call(
            "POST",
            "/clients",
            status=201,
            json={
                "clientId": "another-application",
                "publicClient": True,
                "redirectUris": [redirect_uri],
                "defaultClientScopes": ["basic", "profile", "email"],
                "protocolMappers": [audience],
                "attributes": {"access.token.header.type.rfc9068": "true"},
                **attributes,
            },
        )
        return replace(self.stack.script_client, client_id="another-application", redirect_uris=(redirect_uri,))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give the stack with Keycloak."""
    reason = why_not_here()
    if reason is not None:
        pytest.skip(reason)
    with Stack("tests", idp="keycloak", root=tmp_path_factory.mktemp("keycloak")) as stack:
        keycloak = stack.provider
        assert isinstance(keycloak, Keycloak)
        with administration(keycloak) as administrator:
            yield World(stack, keycloak, administrator)
