"""One stack for each of two independent login providers: the real Keycloak, and canaille.

Every test of this folder runs with both, but for those cases that a provider cannot do, which are listed here in plain
words. Without Keycloak on the machine its tests are skipped, and say why.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from kheops.config import IssuerSettings
from local.keycloak import Keycloak, why_not_here
from local.oidc_login import Tokens, new_browser, tokens_of
from local.provider import Client, Person, Provider
from local.stack import ProviderKind, Stack
from tests.system.keycloak.administration import Administration, administration
from tests.system.keycloak.canaille_administration import CanailleAdministration

PAUSE_SECONDS = 1.1
"""Canaille's tokens hold whole seconds and nothing unique: two for one person in one second collide and fail."""
CANNOT: Mapping[str, Mapping[str, str]] = {
    "keycloak": {},
    "canaille": {
        "test_guessing_passwords_locks_the_account_for_a_while": "it makes guessers wait, and locks nobody out",
        "test_no_code_without_pkce_by_s256": "it gives codes without PKCE, and with the method `plain`",
        "test_desktop_tools_come_back_to_a_port_of_their_own": (
            "it compares redirect URIs letter by letter, the port included"
        ),
        "test_address_that_the_provider_has_not_verified_is_not_verified": (
            "it does not say of an address whether it is verified"
        ),
        "test_service_account_has_a_token_for_us_and_is_somebody": "its service accounts have no subject",
        "test_impersonation_names_who_acts": "nobody can be impersonated",
        "test_doctor_finds_that_the_provider_does_not_know_us": "it says so after the login only",
        "test_login_on_another_device": "it has no grant for devices",
        "test_login_that_has_ended_at_the_provider_is_said": "its refresh tokens live on",
        "test_issuer_is_reached_at_its_inner_address_and_named_by_the_outer_one": (
            "whoever asks at another address is sent to the outer one"
        ),
    },
}
"""What a provider cannot do, by test; a name that no test has fails."""


class AnyAdministration(Protocol):
    """What an administrator of either provider does in the tests."""

    def new_person(self, name: str, *, email_verified: bool = True) -> Person:
        """Make somebody of whom no other test knows."""

    def sub(self, user_name: str) -> str:
        """Return somebody's ``sub``."""

    def disable(self, user_name: str) -> None:
        """Let somebody log in no more."""

    def new_client(self, name: str, redirect_uri: str) -> tuple[Client, str]:
        """Register a client that has nothing to do with us; return also whom its tokens are for."""

    def set_members(self, group: str, *members: Person) -> None:
        """Let these people be in a group, at least one, and nobody else; make it where it is not there yet."""

    def new_key(self) -> None:
        """Sign with a new key from now on, the old one being still published."""


@dataclass
class World:
    """The stack, its provider, and who administers it."""

    stack: Stack
    administration: AnyAdministration

    @property
    def provider(self) -> Provider:
        return self.stack.provider

    @property
    def issuer(self) -> str:
        return self.stack.issuer

    @property
    def names_tokens(self) -> bool:
        """Whether its access tokens have a ``jti``."""
        return isinstance(self.provider, Keycloak)

    @property
    def ends_tokens_at_logout(self) -> bool:
        """Whether refresh tokens end with the session; canaille's live on."""
        return isinstance(self.provider, Keycloak)

    @property
    def revokes_for_public_clients(self) -> bool:
        """Whether a client without a secret can revoke its tokens (RFC 7009 section 5); canaille asks for one."""
        return isinstance(self.provider, Keycloak)

    @property
    def keycloak(self) -> Keycloak:
        """The provider, in a test of what Keycloak alone can do."""
        assert isinstance(self.provider, Keycloak)
        return self.provider

    @property
    def keycloak_administration(self) -> Administration:
        """The administration, in a test of what Keycloak alone can do."""
        assert isinstance(self.administration, Administration)
        return self.administration

    @property
    def settings(self) -> IssuerSettings:
        """What the services are told of the issuer."""
        file = Path(self.stack.services.environment["KHEOPS_ISSUERS"].removeprefix("@"))
        (element,) = json.loads(file.read_text("utf-8"))
        return IssuerSettings.model_validate(element)

    def endpoint(self, name: str) -> str:
        """Return an address from the issuer's metadata."""
        found = httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False, timeout=60)
        return str(found.json()[name])

    def person(self, user_name: str) -> Person:
        return next(person for person in self.stack.people if person.user_name == user_name)

    def log_in(self, person: Person, browser: httpx.Client | None = None, **options: Any) -> Tokens:
        """Log in by the form, as the client for scripts."""
        client = options.pop("client", self.stack.script_client)
        self._pause()
        with new_browser() as fresh:
            return tokens_of(
                browser or fresh,
                self.issuer,
                client,
                user_name=person.user_name,
                password=person.password,
                **options,
            )

    def token_endpoint(self, **form: str) -> httpx.Response:
        """Ask the token endpoint as the client for scripts."""
        self._pause()
        return httpx.post(
            self.endpoint("token_endpoint"),
            data={"client_id": self.stack.script_client.client_id, **form},
            trust_env=False,
            timeout=60,
        )

    def _pause(self) -> None:
        if not self.names_tokens:
            time.sleep(PAUSE_SECONDS)

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


@pytest.fixture(scope="session", params=["keycloak", "canaille"])
def either_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give the stack with each provider in turn."""
    idp: ProviderKind = request.param
    reason = why_not_here() if idp == "keycloak" else None
    if reason is not None:
        pytest.skip(reason)
    root = tmp_path_factory.mktemp(idp)
    with Stack("tests", idp=idp, root=root) as stack:
        if isinstance(stack.provider, Keycloak):
            with administration(stack.provider) as administrator:
                yield World(stack, administrator)
        else:
            yield World(stack, CanailleAdministration(stack, root / "tests" / "canaille"))


@pytest.fixture
def world(either_world: World, request: pytest.FixtureRequest) -> World:
    """Give the stack with a provider that can do what the test is about."""
    idp = "keycloak" if isinstance(either_world.provider, Keycloak) else "canaille"
    reason = CANNOT[idp].get(request.node.originalname)
    if reason is not None:
        pytest.skip(f"{idp}: {reason}")
    return either_world
