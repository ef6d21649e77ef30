"""What a token is good for, told to whoever may ask (RFC 7662)."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.principals import (
    AlbumCapability,
    CapabilityPermissions,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
    parent_of,
)
from kheops.domain.uses import User
from kheops.errors import InvalidTokenError
from kheops.identity.own_tokens import looks_like_capability, looks_like_report_token, looks_like_viewer_token
from kheops.ids import AlbumId, CapabilityId, ReportProviderId, StudyInstanceUID
from kheops.services.denials import granted
from kheops.storage import capabilities, link_visits, people, report_tokens, viewer_tokens
from kheops.storage.engine import Database

if TYPE_CHECKING:  # for the types alone: whoever only knows the answers does not need what verifies tokens
    from kheops.identity.access_tokens import AccessTokenVerifier
    from kheops.services.authentication import Authenticator

__all__ = ["ActiveToken", "Introspection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveToken:
    """A token that is good now. What does not apply to its kind is ``None``."""

    user: User
    """Whose it is, as the audit trail names them."""
    iss: str | None
    """The issuer of the access token; ``None`` for tokens of ours."""
    scope: tuple[str, ...] | None = None
    """KHEOPS's words for what a token of ours may do."""
    expires_at: datetime
    issued_at: datetime | None = None
    not_before: datetime | None = None
    capability: CapabilityId | None = None
    album: AlbumId | None = None
    studies: tuple[StudyInstanceUID, ...] | None = None
    client: ReportProviderId | None = None
    """The report provider that has it."""
    redirect_uri: str | None = None


class Introspection:
    """Tells whether a token is good, and for what.

    Parameters
    ----------
    database
        Where people and our own tokens are.
    authenticator
        Knows our own tokens.
    verifier
        Verifies access tokens of issuers.
    """

    def __init__(self, database: Database, *, authenticator: "Authenticator", verifier: "AccessTokenVerifier") -> None:
        self._database = database
        self._authenticator = authenticator
        self._verifier = verifier

    @staticmethod
    def is_open_to_holders(token: str) -> bool:
        """Return whether whoever sends this token may ask about it without being known.

        Decided by its form alone, so that a refusal tells nothing of the token. It is so for tokens of ours, which
        nobody has but those who hold them, and for what can be no token at all.
        """
        own = (looks_like_capability, looks_like_viewer_token, looks_like_report_token)
        return any(looks_like(token) for looks_like in own) or "." not in token

    @staticmethod
    def permit(caller: Principal) -> None:
        """Raise `ForbiddenError` unless ``caller`` may ask about tokens of other forms."""
        granted(policy.introspect(caller))

    async def inspect(self, token: str) -> ActiveToken | None:
        """Return what a token is good for now; ``None`` for everything else, whatever is wrong with it.

        This is no use of a capability token: its ``last_used`` stays.

        Raises
        ------
        UnavailableError
            If it cannot be found out now.
        """
        try:
            own = await self._authenticator.own_token(token, is_use=False)
            if own is None:
                return await self._access_token(token)
        except InvalidTokenError:
            return None
        return await self._database.run(partial(_of_own, own=own))

    async def _access_token(self, token: str) -> ActiveToken | None:
        verified = await self._verifier.verify(token)
        if verified is None:
            return None
        known = await self._database.run(partial(people.find_by_identity, iss=verified.iss, sub=verified.sub))
        if known is not None and known.suspended_at is not None:
            return None
        user = User(verified.iss, verified.sub, verified.token_id, verified.acting_party)
        return ActiveToken(user=user, iss=verified.iss, expires_at=verified.expires_at)


def _of_own(
    tx: Connection, own: UserCapability | AlbumCapability | ViewerToken | ReportToken | LinkVisit
) -> ActiveToken | None:
    if isinstance(own, LinkVisit):
        return _of_visit(tx, own)
    user = User(own.iss, own.sub, own.token_id, own.acting_party)
    parent = parent_of(own)
    if isinstance(own, ViewerToken):
        times = viewer_tokens.times_of(tx, own.viewer)
        if times is None:
            return None
        words = ("viewer", *(["read"] if own.read else []), *(["write"] if own.write else []))
        return ActiveToken(
            user=user,
            iss=None,
            scope=words,
            expires_at=times.expires_at,
            issued_at=times.issued_at,
            capability=parent.capability if isinstance(parent, UserCapability | AlbumCapability) else None,
            album=times.album,
            studies=own.studies,
        )
    if isinstance(own, ReportToken):
        return _of_report(tx, own, user)
    record = capabilities.find_capability(tx, own.capability)
    if record is None:
        return None
    return ActiveToken(
        user=user,
        iss=None,
        scope=(*(["user"] if record.album is None else []), *_words(own.permissions)),
        expires_at=record.expires_at,
        issued_at=record.issued_at,
        not_before=record.not_before,
        capability=own.capability,
        album=record.album,
    )


def _of_report(tx: Connection, own: ReportToken, user: User) -> ActiveToken | None:
    times = report_tokens.times_of(tx, own.report)
    if times is None:
        return None
    return ActiveToken(
        user=user,
        iss=None,
        scope=(*(["read"] if own.read else []), *(["write"] if own.write else [])),
        expires_at=times.expires_at,
        issued_at=times.issued_at,
        not_before=times.issued_at,
        capability=None if isinstance(own.parent, Person) else own.parent.capability,
        album=times.album,
        studies=own.studies,
        client=own.provider,
        redirect_uri=times.redirect_uri,
    )


def _of_visit(tx: Connection, own: LinkVisit) -> ActiveToken | None:
    times = link_visits.times_of(tx, own)
    if times is None:
        return None
    # Whose link it is, its visitors are not told.
    user = User(None, None, own.token_id)
    opened_at, expires_at = times
    return ActiveToken(user=user, iss=None, scope=("viewer", "read"), expires_at=expires_at, issued_at=opened_at)


def _words(permissions: CapabilityPermissions) -> tuple[str, ...]:
    words = {
        "read": permissions.read,
        "write": permissions.write,
        "downloadbutton": permissions.read and permissions.download,
        "send": permissions.read and permissions.appropriate,
    }
    return tuple(word for word, granted in words.items() if granted)
