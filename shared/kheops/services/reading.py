"""Who asks to read, and in which scope: decided before any UID is looked up."""

from dataclasses import dataclass
from functools import partial

from kheops.domain.policy import AlbumAction, Denied, ReadScope, Source, act_on_album, read_scope
from kheops.domain.principals import Principal, groups_of
from kheops.domain.uses import Use
from kheops.ids import AlbumId, SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.services.denials import granted, refuse
from kheops.storage.engine import Database
from kheops.storage.roles import role_in_album

__all__ = ["Asked", "scope_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to read.

    Parameters
    ----------
    principal
        Who asks.
    use
        What the audit trail will say of it, without objects.
    inbox
        Whether only what is in their inbox counts.
    album
        The one album that counts, if the request names one.
    """

    principal: Principal
    use: Use
    inbox: bool = False
    album: AlbumId | None = None

    def use_of(
        self,
        *,
        studies: tuple[StudyInstanceUID, ...] = (),
        series: tuple[SeriesInstanceUID, ...] = (),
        instances: tuple[SopInstanceUID, ...] = (),
    ) -> Use:
        """Return the use with the objects that it concerned."""
        use = self.use
        # `replace` takes three times as long, and this is done for each frame.
        return Use(
            user=use.user,
            kind=use.kind,
            outcome=use.outcome,
            source_address=use.source_address,
            request_id=use.request_id,
            studies=studies,
            series=series,
            instances=instances,
            subject=use.subject,
            reason=use.reason,
        )


async def scope_of(database: Database, asked: Asked) -> ReadScope:
    """Return the scope in which the request may read.

    Raises
    ------
    ForbiddenError
        If the token or the role in the album does not include reading.
    AlbumNotFoundError
        If the album is hidden from the caller or does not exist.
    """
    source = Source(inbox=asked.inbox)
    if asked.album is not None:
        role = await database.run(
            partial(role_in_album, user=asked.principal.user, album=asked.album, groups=groups_of(asked.principal))
        )
        match act_on_album(asked.principal, AlbumAction.READ_SERIES, role):
            case Denied() as denied:
                refuse(denied, album=True)
            case album:
                source = Source(album=album)
    return granted(read_scope(asked.principal, source))
