"""Who may act: people, and the tokens that act for them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kheops.domain.grants import Source
from kheops.domain.resources import AlbumRole
from kheops.ids import (
    AlbumPk,
    CapabilityId,
    LinkId,
    LinkPk,
    LinkVisitPk,
    ReportProviderId,
    ReportTokenPk,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)

__all__ = [
    "AlbumCapability",
    "CapabilityPermissions",
    "LinkVisit",
    "Person",
    "Principal",
    "ReportParent",
    "ReportToken",
    "Role",
    "UserCapability",
    "ViewerParent",
    "ViewerToken",
    "groups_of",
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
    groups: frozenset[str] = frozenset()
    """The groups of their issuer that this request's access token, or the session's ID token, names."""
    groups_until: datetime | None = None
    """When that token, or the session, ends: no viewer token made from it has the groups any longer."""


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


class _OfParent:
    """What a token that was made from another login or token has of that one, as it stands at this request."""

    __slots__ = ()
    parent: ViewerParent

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
    def acting_party(self) -> str | None:
        """Who acted in the person's place when the token was made; recorded, and grants nothing."""
        return self.parent.acting_party


@dataclass(frozen=True, slots=True)
class ViewerToken(_OfParent):
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
    def studies(self) -> tuple[StudyInstanceUID, ...]:
        """The one study."""
        return (self.study,)

    @property
    def token_id(self) -> str:
        """The token, as the audit trail names it."""
        return f"viewer:{self.viewer}"

    def reaches(self, role: AlbumRole) -> bool:
        """Return whether the album or inbox of ``role`` lies in the source."""
        return (role.is_inbox or not self.source.inbox) and self.source.album in {None, role.album}


ReportParent = Person | UserCapability
"""Who may hand studies to a report provider."""


@dataclass(frozen=True, slots=True)
class ReportToken(_OfParent):
    """A short-lived token of a report provider: some studies of its album, and never more than its parent may now."""

    report: ReportTokenPk
    parent: ReportParent
    """As it stands at this request."""
    provider: ReportProviderId
    album: AlbumPk
    """The provider's album, in which alone the studies are reached."""
    studies: tuple[StudyInstanceUID, ...]
    read: bool
    write: bool

    @property
    def token_id(self) -> str:
        """The token, as the audit trail names it."""
        return f"report:{self.report}"

    @property
    def source(self) -> Source:
        """Where its studies are reached."""
        return Source(album=self.album)

    def reaches(self, role: AlbumRole) -> bool:
        """Return whether the album or inbox of ``role`` is the provider's album."""
        return not role.is_inbox and role.album == self.album


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkVisit:
    """Whoever opened a link, for a short time: sees what the link shows while its creator reaches that, no more."""

    visit: LinkVisitPk
    link: LinkId
    pk: LinkPk
    user: UserPk
    """The link's creator, whose reach is the most that is shown."""
    iss: str
    sub: str
    album: AlbumPk | None
    """The album that the link shows, while its creator administers it; ``None`` for a selection of series."""
    download: bool
    """Whether whole studies and series may be retrieved as files."""

    @property
    def token_id(self) -> str:
        """The link and the visit, as the audit trail names them."""
        return f"link:{self.link} visit:{self.visit}"

    @property
    def acting_party(self) -> None:
        """Nobody acts in a visitor's place."""
        return


Principal = Person | UserCapability | AlbumCapability | ViewerToken | ReportToken | LinkVisit


def parent_of(principal: Principal) -> ViewerParent | LinkVisit:
    """Return whose rights a principal has at most: a viewer or report token's parent, others themselves."""
    return principal.parent if isinstance(principal, ViewerToken | ReportToken) else principal


def groups_of(principal: Principal) -> frozenset[str]:
    """Return the groups that count for this request: a person's own, and those that a viewer token's parent presented.

    Capability tokens do not inherit the groups of whoever made them.
    """
    parent = parent_of(principal)
    return parent.groups if isinstance(parent, Person) else frozenset()
