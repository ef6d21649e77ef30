"""Searching the catalog: matching, order and paging over the series that the caller sees, and nothing else.

Whatever is counted or collected is taken from what ``visible`` and ``studies`` hold, both made of the one fragment of
`kheops.storage.visibility`, so that a hidden series can show in no aggregate. A study has no row: its attributes are
those of the visible series that was put on record first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, text

from kheops.dicomweb.attributes import BY_KEYWORD, Attribute, Level
from kheops.dicomweb.matches import Match, Uids
from kheops.dicomweb.query import KheopsField, Sort
from kheops.domain.policy import ReadScope
from kheops.ids import SeriesInstanceUID, StudyInstanceUID, UserPk
from kheops.storage.catalog_matching import COMPUTED, EXPRESSIONS, Conditions, comparable
from kheops.storage.favorites import FAVORITE_SERIES
from kheops.storage.study_readers import comment_shows
from kheops.storage.visibility import POINTERS, VISIBLE_SERIES, scope_parameters

__all__ = ["Criteria", "Found", "Page", "find"]

Found = Mapping[str, str | int | Sequence[str]]
"""What the catalog has of one object, by keyword; what it does not have is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What to look for.

    Parameters
    ----------
    level
        Of the objects.
    matches
        What each must satisfy.
    sort
        Their order; ties are broken by UID in the same direction, and what has no value comes last in both.
    limit, offset
        The page.
    study, series
        The objects must lie below these.
    favorite
        Whether they must be favourites, or none; studies are if one of their series is.
    includes
        What is answered of each besides: favourites (at study level, how many of its series are) and at study level
        the number of comments.
    reader
        Whose private comments count; ``None`` for public ones only.
    """

    level: Level
    matches: Sequence[Match]
    sort: Sort
    limit: int
    offset: int
    study: StudyInstanceUID | None = None
    series: SeriesInstanceUID | None = None
    favorite: bool | None = None
    includes: frozenset[KheopsField] = frozenset()
    reader: UserPk | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what matches, and how many match in all."""

    found: tuple[Found, ...]
    total: int


_LEVELS: Final = (Level.STUDY, Level.SERIES, Level.INSTANCE)
_UNIQUE: Final = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}
_STUDIES: Final = """
    SELECT s.study_instance_uid,
           array_agg(DISTINCT s.modality COLLATE "C") FILTER (WHERE s.modality <> '') AS modalities,
           count(*) AS number_of_series,
           CAST(sum(s.number_of_instances) AS bigint) AS number_of_instances,
           min(s.pk) AS first_series
    FROM visible v JOIN series s ON s.pk = v.pk
    GROUP BY s.study_instance_uid
"""
_FROM: Final = {
    # OFFSET keeps a condition on the series from being looked for in all series there are.
    Level.STUDY: "FROM studies t JOIN LATERAL (SELECT * FROM series WHERE pk = t.first_series OFFSET 0) s ON true",
    Level.SERIES: """
        FROM visible v JOIN series s ON s.pk = v.pk JOIN studies t ON t.study_instance_uid = s.study_instance_uid
    """,
    Level.INSTANCE: """
        FROM visible v JOIN series s ON s.pk = v.pk JOIN studies t ON t.study_instance_uid = s.study_instance_uid
        JOIN instances i ON i.series_pk = s.pk AND i.state = 'confirmed'
    """,
}


_FAVORITE_STUDIES: Final = """
    SELECT s.study_instance_uid, CAST(count(*) AS bigint) AS number FROM favorites f JOIN series s ON s.pk = f.pk
    GROUP BY s.study_instance_uid
"""
_IS_FAVORITE: Final = {
    Level.STUDY: "t.study_instance_uid IN (SELECT study_instance_uid FROM favorite_studies)",
    Level.SERIES: "s.pk IN (SELECT pk FROM favorites)",
}
_SEEN_OF_STUDY: Final = """
    (SELECT sv.pk FROM visible sv JOIN series ss ON ss.pk = sv.pk AND ss.study_instance_uid = t.study_instance_uid)
"""
_INCLUDED: Final = {
    (Level.STUDY, KheopsField.FAVORITE): (
        "coalesce((SELECT f.number FROM favorite_studies f WHERE f.study_instance_uid = t.study_instance_uid), 0)"
    ),
    (Level.SERIES, KheopsField.FAVORITE): _IS_FAVORITE[Level.SERIES],
    (Level.STUDY, KheopsField.COMMENTS): (
        "(SELECT count(*) FROM comments c WHERE c.study_instance_uid = t.study_instance_uid "  # noqa: S608 - constants only
        f"AND {comment_shows(seen=_SEEN_OF_STUDY)})"
    ),
}


def find(tx: Connection, scope: ReadScope, criteria: Criteria) -> Page:
    """Return a page of the objects of ``scope`` that match.

    Parameters
    ----------
    tx
        The transaction.
    scope
        Which series the caller may read.
    criteria
        What to look for. Text compares without regard to case. A person's name matches as a whole or by any of its
        component groups.
    """
    named = _named_studies(criteria)
    if criteria.level is not Level.STUDY:
        return _find(tx, scope, criteria, named)
    # What is counted of studies costs more than finding them: it is done for those of the page only.
    uids, total = _page_of_studies(tx, scope, criteria, named)
    if not uids:
        return Page((), total)
    shown = replace(criteria, matches=(), limit=len(uids), offset=0, favorite=None)
    return replace(_find(tx, scope, shown, frozenset(uids)), total=total)


def _page_of_studies(
    tx: Connection, scope: ReadScope, criteria: Criteria, named: frozenset[str] | None
) -> tuple[list[str], int]:
    """Return the UIDs of the studies of the page, and how many match in all."""
    conditions = Conditions()
    counted = ""
    for match in criteria.matches:
        if match.attribute.keyword == "ModalitiesInStudy":
            # Asked of each series while they are grouped: cheaper than collecting the modalities of all studies.
            name = f"is_modality_{len(conditions.parameters)}"
            counted += f", bool_or({conditions.of_modality(match, 'x.modality')}) AS {name}"
            conditions.add(f"t.{name}")
        else:
            conditions.match(match)
    common = (
        f"WITH studies AS (SELECT x.study_instance_uid, min(x.series_pk) AS first_series{counted} "
        f"{POINTERS}{_below(named, 'x')} GROUP BY x.study_instance_uid)"
    )
    if criteria.favorite is not None:
        common += _favorites(_below(named))
        conditions.add(f"{'' if criteria.favorite else 'NOT '}{_IS_FAVORITE[Level.STUDY]}")
    body = f"{_FROM[Level.STUDY]} WHERE {conditions.sql}"
    parameters = {**scope_parameters(scope), **conditions.parameters, **_naming(named)}
    page = text(
        f"{common} SELECT t.study_instance_uid, count(*) OVER () AS total {body} "
        f"ORDER BY {_order(criteria)} LIMIT :page_limit OFFSET :page_offset"
    )
    rows = tx.execute(page, {**parameters, "page_limit": criteria.limit, "page_offset": criteria.offset}).all()
    total = rows[0].total if rows else _counted(tx, criteria, f"{common} SELECT count(*) {body}", parameters)
    return [row.study_instance_uid for row in rows], total


def _find(tx: Connection, scope: ReadScope, criteria: Criteria, named: frozenset[str] | None) -> Page:
    conditions = Conditions()
    if criteria.series is not None:
        conditions.add("s.series_instance_uid = {}", criteria.series)
    for match in criteria.matches:
        conditions.match(match)
    below = _below(named)
    common = f"WITH visible AS ({VISIBLE_SERIES}{below}), studies AS ({_STUDIES})"
    if criteria.favorite is not None or KheopsField.FAVORITE in criteria.includes:
        common += _favorites(below)
    if criteria.favorite is not None:
        conditions.add(f"{'' if criteria.favorite else 'NOT '}{_IS_FAVORITE[criteria.level]}")
    body = f"{_FROM[criteria.level]} WHERE {conditions.sql}"
    parameters = {**scope_parameters(scope), **conditions.parameters, **_naming(named)}
    # Names, order and shape come from the tables of this module; every value is bound.
    page = text(
        f"{common} SELECT {_selected(criteria)}, count(*) OVER () AS total {body} "
        f"ORDER BY {_order(criteria)} LIMIT :page_limit OFFSET :page_offset"
    )
    shown: dict[str, object] = {**parameters, "page_limit": criteria.limit, "page_offset": criteria.offset}
    if KheopsField.COMMENTS in criteria.includes:
        shown["reader"] = criteria.reader
    found = [dict(row) for row in tx.execute(page, shown).mappings()]
    total = found[0]["total"] if found else _counted(tx, criteria, f"{common} SELECT count(*) {body}", parameters)
    return Page(tuple(map(_present, found)), total)


def _counted(tx: Connection, criteria: Criteria, statement: str, parameters: Mapping[str, object]) -> int:
    """Return how many match where the page is empty: a page behind the last one tells nothing of the others."""
    total: int = tx.execute(text(statement), parameters).scalar_one() if criteria.offset else 0
    return total


def _below(named: frozenset[str] | None, table: str = "s") -> str:
    return "" if named is None else f" AND {table}.study_instance_uid = ANY(CAST(:named_studies AS text[]))"


def _naming(named: frozenset[str] | None) -> dict[str, object]:
    return {} if named is None else {"named_studies": sorted(named)}


def _favorites(below: str) -> str:
    return f", favorites AS ({FAVORITE_SERIES}{below}), favorite_studies AS ({_FAVORITE_STUDIES})"


def _named_studies(criteria: Criteria) -> frozenset[str] | None:
    """Return the studies that can match at all, where the search names some; whole ones, so that all counts stay."""
    sets = [frozenset[str]({criteria.study})] if criteria.study is not None else []
    sets += [
        match.uids
        for match in criteria.matches
        if isinstance(match, Uids) and match.attribute.keyword == "StudyInstanceUID"
    ]
    return frozenset.intersection(*sets) if sets else None


def _present(row: Mapping[str, str | int | Sequence[str] | None]) -> Found:
    return {keyword: value for keyword, value in row.items() if value is not None and keyword != "total"}


def _selected(criteria: Criteria) -> str:
    levels = _LEVELS[: _LEVELS.index(criteria.level) + 1]
    keywords = (keyword for keyword in EXPRESSIONS if BY_KEYWORD[keyword].level in levels)
    columns = [f'{EXPRESSIONS[keyword]} AS "{keyword}"' for keyword in keywords]
    columns += [f'{_INCLUDED[criteria.level, field]} AS "{field}"' for field in sorted(criteria.includes)]
    return ", ".join(columns)


def _order(criteria: Criteria) -> str:
    direction = "DESC" if criteria.sort.descending else "ASC"
    attribute = criteria.sort.attribute
    expressions = [_sortable(attribute), EXPRESSIONS[_UNIQUE[criteria.level]]]
    return ", ".join(f"{expression} {direction} NULLS LAST" for expression in expressions)


def _sortable(attribute: Attribute) -> str:
    expression = EXPRESSIONS[attribute.keyword]
    if attribute.keyword in COMPUTED:
        return expression
    match attribute.vr:
        case "IS" | "US":
            # A cast of text that is no number would fail the whole search.
            return f"CASE WHEN {expression} ~ '^-?[0-9]{{1,10}}$' THEN CAST({expression} AS bigint) END"
        case "TM":
            return comparable(expression)
        case _:
            return f'lower({expression}) COLLATE "C"'
