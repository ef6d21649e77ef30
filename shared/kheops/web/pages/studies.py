"""Studies, as their reader's search finds them."""

from dataclasses import dataclass
from typing import Final

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.query import parse_query
from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError
from kheops.ids import AlbumId
from kheops.services.reading import Asked
from kheops.services.sessions import Session
from kheops.storage.catalog_search import Found
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.document import page
from kheops.web.pages.gate import parameters

__all__ = ["ROWS", "StudyList", "find_studies", "studies"]

ROWS: Final = 50
"""Rows of a page."""


@dataclass(frozen=True, slots=True)
class StudyList:
    """Some of the studies that somebody sees, newest first."""

    found: tuple[Found, ...]
    total: int
    offset: int
    rows: int

    @property
    def previous_offset(self) -> int | None:
        """Where the page before begins; ``None`` on the first."""
        return max(0, self.offset - self.rows) if self.offset else None

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins; ``None`` on the last."""
        following = self.offset + self.rows
        return following if following < self.total else None


async def find_studies(
    call: Call, session: Session, *, rows: int, offset: str = "0", inbox: str = "false", album: AlbumId | None = None
) -> StudyList:
    """Search as QIDO-RS does: what is listed here is exactly what may be retrieved.

    Parameters
    ----------
    call
        The request.
    session
        Whose studies.
    rows
        How many at most.
    offset, inbox
        As the address of the page gives them.
    album
        Only what this album holds.

    Raises
    ------
    BadQueryParameterError
        If ``offset`` or ``inbox`` is not of its kind.
    AlbumNotFoundError
        If the album is hidden or absent.
    """
    query = parse_query(Level.STUDY, [("limit", str(rows)), ("offset", offset)])
    if inbox not in {"true", "false"}:
        raise BadQueryParameterError("'inbox' is true or false.")
    asked = Asked(principal=session.person, use=call.use(UseKind.SEARCH), inbox=inbox == "true", album=album)
    result = await call.process.search.find(asked, query)
    return StudyList(result.found, result.total, query.offset, rows)


async def studies(call: Call, session: Session) -> AsgiResponse:
    given = parameters(call, "offset", "inbox")
    inbox = given.get("inbox", "false")
    found = await find_studies(call, session, rows=ROWS, offset=given.get("offset", "0"), inbox=inbox)
    values = {"studies": found, "inbox": inbox == "true"}
    return page(call, "studies.html", values, session=session)
