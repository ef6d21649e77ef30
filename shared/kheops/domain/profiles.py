"""What an issuer says of a person besides who they are."""

from dataclasses import dataclass

__all__ = ["Profile"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Name and e-mail address; ``email_verified`` only where that issuer may vouch for the address."""

    email: str | None
    email_verified: bool
    name: str | None
