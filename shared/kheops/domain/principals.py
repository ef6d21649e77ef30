"""Who may act: people, and the tokens that act for them."""

from dataclasses import dataclass
from enum import StrEnum

from kheops.domain.grants import Source
from kheops.domain.resources import AlbumRole
from kheops.ids import AlbumPk, CapabilityId, StudyInstanceUID, UserPk, ViewerTokenPk

__all__ = [
    "AlbumCapability",
    "CapabilityPermissions",
    "Person",
    "Principal",
    "Role",
    "UserCapability",
    "ViewerParent",
    "ViewerToken",
    "parent_of",
]


class Role(StrEnum):
    """What somebody may be in the installation as a whole, beyond what they are in albums."""

    ADMINISTRATOR = "administrator"


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
    roles: frozenset[Role] = frozenset()
    """What the claims of this request's access token make them; a browser's session has none."""


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


ViewerParent = Person | UserCapability | AlbumCapability
"""For whom a viewer token may be made."""


@dataclass(frozen=True, slots=True)
class ViewerToken:
    """A short-lived token for a viewer: one study, within one source, and never more than its parent may now."""

    viewer: ViewerTokenPk
    parent: ViewerParent
    """As it stands at this request: a capability token with the permissions that it has."""
    study: StudyInstanceUID
    source: Source
    """Where the study's series are reached: the inbox, one album, or everything of the parent's."""
    read: bool
    write: bool

    @property
    def user(self) -> UserPk:
        """The person behind the parent."""
        return self.parent.user

    @property
    def iss(self) -> str:
        """The person's issuer."""
        return self.parent.iss

    @property
    def sub(self) -> str:
        """The person's ``sub`` at that issuer."""
        return self.parent.sub

    @property
    def token_id(self) -> str:
        """The token, as the audit trail names it."""
        return f"viewer:{self.viewer}"

    @property
    def acting_party(self) -> str | None:
        """Who acted in the person's place when the token was made; recorded, and grants nothing."""
        return self.parent.acting_party

    def reaches(self, role: AlbumRole) -> bool:
        """Return whether the album or inbox of ``role`` lies in the source."""
        return (role.is_inbox or not self.source.inbox) and self.source.album in {None, role.album}


Principal = Person | UserCapability | AlbumCapability | ViewerToken


def parent_of(principal: Principal) -> ViewerParent:
    """Return whose rights a principal has at most: a viewer token's parent, and everybody else themselves."""
    return principal.parent if isinstance(principal, ViewerToken) else principal
