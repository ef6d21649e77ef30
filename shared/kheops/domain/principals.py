"""Who may act: people, and the tokens that act for them."""

from dataclasses import dataclass

from kheops.ids import AlbumPk, CapabilityId, UserPk

__all__ = ["AlbumCapability", "CapabilityPermissions", "Person", "Principal", "UserCapability"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who logged in with an issuer that we trust. Identity is (iss, sub), never the e-mail address."""

    user: UserPk
    iss: str
    sub: str
    token_id: str
    """What the audit trail calls the token: its ``jti``, or a digest of it; never the token."""
    acting_party: str | None = None
    """``act.sub`` of an impersonated token (RFC 8693 section 4.1): recorded, and grants nothing."""


@dataclass(frozen=True, slots=True)
class CapabilityPermissions:
    """What a capability token may do, as KHEOPS names it."""

    read: bool
    write: bool
    appropriate: bool
    download: bool


@dataclass(frozen=True, slots=True)
class UserCapability:
    """A capability token of user scope: acts for its owner within its own permissions."""

    user: UserPk
    iss: str
    sub: str
    capability: CapabilityId
    permissions: CapabilityPermissions

    @property
    def token_id(self) -> str:
        """The public id, as the audit trail names it."""
        return self.capability

    @property
    def acting_party(self) -> None:
        """Own tokens are never impersonated."""
        return


@dataclass(frozen=True, slots=True)
class AlbumCapability:
    """A capability token of album scope: sees one album, while its owner (``user``) administers that album."""

    user: UserPk
    iss: str
    sub: str
    capability: CapabilityId
    permissions: CapabilityPermissions
    album: AlbumPk

    @property
    def token_id(self) -> str:
        """The public id, as the audit trail names it."""
        return self.capability

    @property
    def acting_party(self) -> None:
        """Own tokens are never impersonated."""
        return


Principal = Person | UserCapability | AlbumCapability
