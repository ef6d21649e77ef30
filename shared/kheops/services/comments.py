"""Comments: on albums, for their members, and on studies, for whoever reads them; public, or for one person."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.comments import CommentDraft
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, ReadScope
from kheops.domain.principals import Principal
from kheops.domain.uses import Use
from kheops.errors import NotFoundError, UserNotFoundError
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.album_access import permitted_and_locked
from kheops.services.denials import granted
from kheops.services.references import person_of
from kheops.storage import audit, comments, members, study_readers
from kheops.storage.comments import Comment
from kheops.storage.engine import Database
from kheops.storage.events import touch_album

__all__ = ["Comments"]


class Comments:
    """Writes and lists comments. Nobody can change or delete one.

    Parameters
    ----------
    database
        Where comments are.
    clock
        The current time.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, clock: Clock, *, default_issuer: str) -> None:
        self._database = database
        self._clock = clock
        self._default_issuer = default_issuer

    async def on_album(self, principal: Principal, album: AlbumId, draft: CommentDraft, *, asked: Use) -> None:
        """Comment on an album, for all of its members or for one.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the role or the token does not include it.
        UserNotFoundError
            If no member answers to the reference to the one whom it is for.
        """

        def work(tx: Connection) -> None:
            # Locked, so that the one whom it is for cannot leave meanwhile.
            key = permitted_and_locked(tx, principal, AlbumAction.WRITE_COMMENT, album)
            at = self._clock()
            to = None
            if draft.to_user is not None:
                named = NamedPerson(draft.to_user, draft.issuer)
                member = members.find_member(tx, key, named, default_issuer=self._default_issuer)
                if member is None:
                    raise UserNotFoundError
                to = member.user
            comments.add_to_album(tx, key, draft.comment, by=principal.user, to=to, at=at)
            if to is None:
                # The time of a private one would tell the others that there is one.
                touch_album(tx, key, at)
            audit.insert_use(tx, replace(asked, subject=album), at)

        await self._database.run(work)

    async def on_study(
        self, principal: Principal, study: StudyInstanceUID, draft: CommentDraft, *, asked: Use
    ) -> None:
        """Comment on a study, for everybody who reads a series of it or for one of those whom the caller may know.

        Raises
        ------
        ForbiddenError
            If the token may not.
        NotFoundError
            If the study is hidden or does not exist.
        UserNotFoundError
            If nobody answers to the reference who reads a series of the study that the caller reads.
        """

        def work(tx: Connection) -> None:
            granted(policy.comment_on_study(principal))
            scope = _scope(principal)
            if not study_readers.is_read(tx, scope, study):
                raise NotFoundError
            to = None
            if draft.to_user is not None:
                named = NamedPerson(draft.to_user, draft.issuer)
                to = person_of(tx, named, default_issuer=self._default_issuer).user
                if not study_readers.is_read_with(tx, scope, study, to):
                    raise UserNotFoundError
            at = self._clock()
            if not comments.add_to_study(tx, scope, study, draft.comment, by=principal.user, to=to, at=at):
                raise NotFoundError
            audit.insert_use(tx, replace(asked, studies=(study,)), at)

        await self._database.run(work)

    async def of_study(
        self, principal: Principal, study: StudyInstanceUID, page: Page
    ) -> tuple[Sequence[Comment], int]:
        """Return a page of a study's comments, newest first, and how many there are in all.

        Private ones are seen by their author and the one whom they are for, and through no token of an album.

        Raises
        ------
        ForbiddenError
            If the token may not read, or is for a viewer.
        NotFoundError
            If the study is hidden or does not exist.
        """

        def work(tx: Connection) -> tuple[Sequence[Comment], int]:
            scope = _scope(principal)
            if not study_readers.is_read(tx, scope, study):
                raise NotFoundError
            reader = policy.private_comments_of(principal)
            return comments.list_of_study(tx, scope, study, reader=reader, page=page)

        return await self._database.run(work)


def _scope(principal: Principal) -> ReadScope:
    return granted(policy.read_comments(principal))
