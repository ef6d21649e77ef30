"""The control plane's small world with what people say, mark and look up in it."""

from collections.abc import Sequence

from kheops.dicomweb.attributes import BY_KEYWORD, Level
from kheops.dicomweb.query import KheopsField, Sort
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.comments import CommentDraft
from kheops.domain.history import HistoryFilter
from kheops.domain.policy import Denied, Source
from kheops.domain.principals import Person, Principal
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.comments import Comments
from kheops.services.directory import Directory, Whereabouts
from kheops.services.favorites import Favorites
from kheops.services.history import Comment, Event, History, HistoryPage
from kheops.services.metrics import Counting
from kheops.storage import catalog_search
from kheops.storage.catalog_search import Criteria
from kheops.storage.holdings import Selection
from tests.service.control.world import ISSUER, World

__all__ = ["HistoryWorld"]


class HistoryWorld(World):
    """People, albums and series, and what is said of them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.comments = Comments(self.database, self.now, default_issuer=ISSUER)
        self.history = History(self.database, default_issuer=ISSUER)
        self.favorites = Favorites(self.database, self.now)
        self.directory = Directory(self.database, default_issuer=ISSUER)
        self.counting = Counting(self.database, self.now)

    def asked(self, principal: Principal, kind: UseKind) -> Use:
        user = User(principal.iss, principal.sub, principal.token_id, principal.acting_party)
        return Use(user=user, kind=kind, outcome=Outcome.GRANTED, source_address=None, request_id="request")

    def say(self, principal: Principal, where: AlbumId | Selection, text: str, *, to: str | None = None) -> str:
        """Comment on an album or on the study of a series; return ``ok`` or the name of the error's class."""
        draft = CommentDraft(text, to)
        asked = self.asked(principal, UseKind.COMMENT_WRITTEN)
        if isinstance(where, Selection):
            return self.outcome(self.comments.on_study(principal, where.study, draft, asked=asked))
        return self.outcome(self.comments.on_album(principal, where, draft, asked=asked))

    def said_of(self, principal: Principal, study: StudyInstanceUID, page: Page | None = None) -> list[str]:
        """Return what a principal reads of a study, newest first."""
        found, _ = self.run(self.comments.of_study(principal, study, page or Page()))
        return [comment.comment for comment in found]

    def counted(self, principal: Principal, study: StudyInstanceUID) -> int:
        """Return how many comments a search tells a principal that a study has."""
        scope, reader = policy.read_scope(principal, Source()), policy.private_comments_of(principal)
        assert not isinstance(scope, Denied)
        criteria = Criteria(
            level=Level.STUDY,
            matches=(),
            sort=Sort(BY_KEYWORD["StudyInstanceUID"], descending=False),
            limit=100,
            offset=0,
            includes=frozenset({KheopsField.COMMENTS}),
            reader=reader,
        )
        page = self.database.run_blocking(lambda tx: catalog_search.find(tx, scope, criteria))
        [found] = [each for each in page.found if each["StudyInstanceUID"] == study]
        return int(str(found[KheopsField.COMMENTS]))

    def events_seen(
        self, principal: Principal, album: AlbumId, wanted: HistoryFilter | None = None, page: Page | None = None
    ) -> HistoryPage:
        return self.run(self.history.of_album(principal, album, wanted or HistoryFilter(), page or Page()))

    def seen(self, principal: Principal, album: AlbumId, wanted: HistoryFilter | None = None) -> list[str]:
        """Return kinds of events and texts of comments, newest first."""
        return [_name(entry) for entry in self.events_seen(principal, album, wanted).entries]

    def mark(
        self, principal: Principal, selection: Selection, album: AlbumId | None, *, is_favorite: bool = True
    ) -> str:
        """Mark in an album, or for ``None`` in the inbox."""
        asked = self.asked(principal, UseKind.FAVORITE_CHANGED)
        if album is None:
            return self.outcome(
                self.favorites.mark_in_inbox(principal, selection, is_favorite=is_favorite, asked=asked)
            )
        return self.outcome(
            self.favorites.mark_in_album(principal, selection, album, is_favorite=is_favorite, asked=asked)
        )

    def people(
        self,
        principal: Principal,
        wanted: str,
        *,
        album: AlbumId | None = None,
        study: StudyInstanceUID | None = None,
        page: Page | None = None,
    ) -> Sequence[str]:
        """Return the ``sub`` of everybody found."""
        found, _ = self.run(self.directory.search(principal, wanted, Whereabouts(album, study), page or Page()))
        return [each.sub for each in found]

    def is_favorite(self, selection: Selection, person: Person, album: AlbumId | None) -> bool:
        place = self.inbox(person) if album is None else self.key(album)
        found: bool = self.scalar(
            "SELECT is_favorite FROM album_series x JOIN series s ON s.pk = x.series_pk "
            "WHERE s.series_instance_uid = :uid AND x.album_pk = :place",
            uid=selection.series,
            place=place,
        )
        return found


def _name(entry: Event | Comment) -> str:
    return entry.comment if isinstance(entry, Comment) else entry.kind.value
