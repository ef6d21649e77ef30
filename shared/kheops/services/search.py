"""QIDO-RS: what the caller sees, searched in the catalog."""

from collections.abc import Callable
from functools import partial
from typing import Final

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.query import KheopsField, Query
from kheops.domain.policy import Denied, private_comments_of, read_comments
from kheops.errors import UnavailableError
from kheops.ids import SeriesInstanceUID, StudyInstanceUID
from kheops.services.audit import AuditTrail
from kheops.services.reading import Asked, scope_of
from kheops.storage import catalog_search
from kheops.storage.catalog_search import Criteria, Page
from kheops.storage.engine import Database

__all__ = ["MOST_FOUND", "MOST_HELD", "Search"]

MOST_FOUND: Final = {Level.STUDY: 5_000, Level.SERIES: 5_000, Level.INSTANCE: 10_000}
"""Objects in one answer, whatever limit was asked for or none; the rest is had by ``offset``."""

MOST_HELD: Final = 30_000
"""Objects of large answers on their way that one process holds; a client may take its time over each."""

_FEW: Final = 200
"""Objects that count for nothing there: an answer of so few is encoded at once, and its objects are gone."""

_RECORDED: Final = 1_000
"""Study UIDs that one record in the audit trail names at most."""


class Search:
    """Searches the catalog.

    Parameters
    ----------
    database
        Where the catalog is.
    audit
        Takes the record of each search, with what it showed.
    """

    def __init__(self, database: Database, audit: AuditTrail) -> None:
        self._database = database
        self._audit = audit
        self._held = 0

    @property
    def held(self) -> int:
        """Objects of large answers that are on their way."""
        return self._held

    def hold(self, page: Page) -> Callable[[], None]:
        """Count the objects of a page in until its answer has gone out; return what counts them out.

        Small answers are never refused for the sake of large ones that somebody takes slowly.

        Raises
        ------
        UnavailableError
            If too many are on their way already.
        """
        number = len(page.found)
        if number <= _FEW:
            return _nothing_held
        if self._held + number > MOST_HELD:
            raise UnavailableError("Too many large answers are under way. Ask for less at a time.")
        self._held += number
        left = [number]

        def leave() -> None:
            self._held -= left.pop() if left else 0

        return leave

    async def find(
        self,
        asked: Asked,
        query: Query,
        *,
        study: StudyInstanceUID | None = None,
        series: SeriesInstanceUID | None = None,
    ) -> Page:
        """Return what matches ``query`` among what the caller sees, and record that it was shown.

        Parameters
        ----------
        asked
            Who asks, and from which source.
        query
            What they look for.
        study, series
            What the path names: only objects below it. Hidden and absent ones hold nothing.

        Raises
        ------
        ForbiddenError
            If the token or the role in the album does not include reading.
        AlbumNotFoundError
            If the album asked for is hidden or absent.
        DatabaseUnavailableError
            If the database does not answer, or the record could not be written.
        """
        scope = await scope_of(self._database, asked)
        criteria = Criteria(
            level=query.level,
            matches=query.matches,
            sort=query.sort,
            limit=min(query.limit or MOST_FOUND[query.level], MOST_FOUND[query.level]),
            offset=query.offset,
            study=study,
            series=series,
            favorite=query.favorite,
            includes=_included(asked, query),
            reader=private_comments_of(asked.principal),
        )
        page = await self._database.run(partial(catalog_search.find, scope=scope, criteria=criteria))
        shown = dict.fromkeys(StudyInstanceUID(str(found["StudyInstanceUID"])) for found in page.found)
        studies = tuple(shown)[:_RECORDED] if study is None else (study,)
        await self._audit.record(asked.use_of(studies=studies, series=() if series is None else (series,)))
        return page


def _included(asked: Asked, query: Query) -> frozenset[KheopsField]:
    """Return the fields to answer: who may read no comments is not told how many there are."""
    if isinstance(read_comments(asked.principal), Denied):
        return query.includes - {KheopsField.COMMENTS}
    return query.includes


def _nothing_held() -> None:
    pass
