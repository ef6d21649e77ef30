"""Viewer tokens: made by exchange (RFC 8693), cleared away when they have ended."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.policy import Denied, Reason, Source, ViewerGrant
from kheops.domain.principals import AlbumCapability, Person, Principal, UserCapability, groups_of, parent_of
from kheops.domain.uses import Use
from kheops.domain.viewer_tokens import VIEWER_TOKEN_LIFETIME, VIEWER_TOKENS_AT_ONCE, ViewerDraft
from kheops.errors import OAuthError, TooManyRequestsError
from kheops.identity.keyring import Keyring
from kheops.identity.own_tokens import hash_secret, new_viewer_secret
from kheops.storage import audit, roles, viewer_tokens
from kheops.storage.engine import Database
from kheops.storage.viewer_tokens import ViewerTokenParent

__all__ = ["OpenedViewer", "ViewerTokens"]

_FEWER_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class OpenedViewer:
    """A new viewer token with its secret, which is never to be had again."""

    secret: str = field(repr=False)
    lifetime: timedelta
    read: bool
    write: bool


class ViewerTokens:
    """Viewer tokens. Their secrets are shown once and kept as keyed hashes only.

    Parameters
    ----------
    database
        Where they are.
    clock
        The current time.
    pepper
        The key of the hash.
    """

    def __init__(self, database: Database, clock: Clock, *, pepper: Keyring) -> None:
        self._database = database
        self._clock = clock
        self._pepper = pepper

    async def open(
        self, principal: Principal, draft: ViewerDraft, *, asked: Use, session: bytes | None = None
    ) -> OpenedViewer:
        """Make a viewer token.

        It lives five hours at most, not beyond its parent capability token or session, and at each request it may no
        more than its parent may then. Whether the study is there, hidden or absent is not looked at.

        Parameters
        ----------
        principal
            Whose rights it takes from. That an access token expires does not end it.
        draft
            What is wanted.
        asked
            The use; the study and the new token are filled in.
        session
            `kheops.services.sessions.Session.id_hash` of the browser session that asks; its logout ends the token.

        Raises
        ------
        OAuthError
            ``invalid_grant`` if the principal can have none of that kind or does not reach that source, hidden and
            absent alike, or has ended meanwhile; ``invalid_scope`` if it lacks the right to read or write.
        TooManyRequestsError
            If too many that have not ended hang on the same capability token, or on the person.
        """
        secret = new_viewer_secret()
        acts = parent_of(principal)
        parent = ViewerTokenParent(
            user=acts.user,
            capability=acts.capability if isinstance(acts, UserCapability | AlbumCapability) else None,
            session=session,
            acting_party=acts.acting_party,
            groups=groups_of(acts),
            groups_until=acts.groups_until if isinstance(acts, Person) else None,
        )

        def work(tx: Connection) -> OpenedViewer:
            at = self._clock()
            grant = _grant(tx, principal, draft)
            if viewer_tokens.number_of_live(tx, parent, at) >= VIEWER_TOKENS_AT_ONCE:
                raise TooManyRequestsError(
                    "Too many viewer tokens have not ended yet.", retry_after=int(_FEWER_AFTER.total_seconds())
                )
            made = viewer_tokens.create_viewer_token(
                tx,
                grant,
                parent,
                study=draft.study,
                secret_hash=hash_secret(secret, self._pepper.current),
                at=at,
                until=at + VIEWER_TOKEN_LIFETIME,
            )
            if made is None:
                raise OAuthError("invalid_grant", "The subject token has ended.")
            use = replace(asked, studies=(draft.study,), subject=f"viewer:{made.viewer}")
            audit.insert_use(tx, use, at)
            return OpenedViewer(secret, made.expires_at - at, grant.read, grant.write)

        return await self._database.run(work)

    async def clear(self) -> int:
        """Delete tokens that are past their time; return how many."""
        cleared = 0
        while some := await self._database.run(lambda tx: viewer_tokens.delete_ended(tx, at=self._clock())):
            cleared += some
        return cleared


def _grant(tx: Connection, principal: Principal, draft: ViewerDraft) -> ViewerGrant:
    source, role = Source(inbox=draft.inbox), None
    if draft.album is not None:
        role = roles.role_in_album(tx, principal.user, draft.album, groups=groups_of(principal))
        if role is None:
            raise _not_reached()
        source = Source(album=role.album)
    match policy.open_viewer(principal, source, role, read=draft.read, write=draft.write):
        case Denied(Reason.TOKEN_KIND):
            raise OAuthError("invalid_grant", "No such viewer token is made for this kind of subject token.")
        case Denied(reason):
            if reason.visible_to_caller:
                raise OAuthError("invalid_scope", "The subject token, or its role in the album, lacks that right.")
            raise _not_reached()
        case grant:
            return grant


def _not_reached() -> OAuthError:
    return OAuthError("invalid_grant", "The subject token reaches no such source.")
