"""What every login provider of a stack has in common: people, clients, and what the services are told of it."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

__all__ = ["ADMINISTRATORS", "Client", "Person", "Provider"]

ADMINISTRATORS: Final = "administrators"
"""The group whose members administer the installation."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in."""

    user_name: str
    given_name: str
    family_name: str
    password: str
    email: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the provider; public where it has no secret."""

    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    client_secret: str | None = None
    post_logout_redirect_uris: tuple[str, ...] = ()


class Provider(Protocol):
    """A running provider."""

    @property
    def issuer(self) -> str:
        """The exact ``iss`` of its tokens."""

    @property
    def people(self) -> tuple[Person, ...]:
        """Who can log in, with passwords."""

    def issuer_settings(self, web_client: Client) -> dict[str, Any]:
        """Return the element of ``KHEOPS_ISSUERS`` for this provider. It contains the client's secret."""
