"""What a search key demands, as a condition of SQL with bound values."""

from collections.abc import Mapping
from typing import Final, assert_never

from kheops.dicomweb.matches import (
    DateRange,
    DateTimeRange,
    Exact,
    FuzzyName,
    Match,
    Modalities,
    PersonName,
    TimeRange,
    Uids,
    Wildcard,
)
from kheops.storage.columns import INSTANCE_COLUMNS, SERIES_COLUMNS

__all__ = ["COMPUTED", "EXPRESSIONS", "Conditions", "comparable"]

COMPUTED: Final = {
    "StudyInstanceUID": "s.study_instance_uid",
    "ModalitiesInStudy": "t.modalities",
    "NumberOfStudyRelatedSeries": "t.number_of_series",
    "NumberOfStudyRelatedInstances": "t.number_of_instances",
    "SeriesInstanceUID": "s.series_instance_uid",
    "NumberOfSeriesRelatedInstances": "s.number_of_instances",
    "SOPInstanceUID": "i.sop_instance_uid",
}
EXPRESSIONS: Final[Mapping[str, str]] = {
    **{keyword: f"s.{column}" for keyword, column in SERIES_COLUMNS.items()},
    **{keyword: f'i."{column}"' for keyword, column in INSTANCE_COLUMNS.items()},
    **COMPUTED,
}


def comparable(expression: str) -> str:
    """Return the SQL of `kheops.dicomweb.attributes.comparable_time`."""
    whole, fraction = f"split_part({expression}, '.', 1)", f"split_part({expression}, '.', 2)"
    return f"(rpad({whole}, 6, '0') || '.' || rpad({fraction}, 6, '0')) COLLATE \"C\""


def _moment(date: str, time: str) -> str:
    """Return the SQL of date and time as one comparable text; a missing time is the day's beginning."""
    present = f"coalesce({time}, '')"
    return f'({date} || {comparable(present)}) COLLATE "C"'


def _ordered(match: DateRange | TimeRange | DateTimeRange) -> str:
    """Return the SQL of a date, time or both as one text that compares as they do."""
    expression = EXPRESSIONS[match.attribute.keyword]
    match match:
        case DateRange():
            return f'{expression} COLLATE "C"'
        case TimeRange():
            return comparable(expression)
        case DateTimeRange():
            return _moment(expression, EXPRESSIONS[match.time.keyword])


def _plain(expression: str) -> str:
    """Return the SQL of a text without case and accents."""
    return f"unaccent(lower({expression}))"


class Conditions:
    """What each row must satisfy, with the bound values."""

    def __init__(self) -> None:
        self._sql: list[str] = []
        self.parameters: dict[str, object] = {}

    @property
    def sql(self) -> str:
        """All of them together."""
        return " AND ".join(self._sql) or "true"

    def add(self, template: str, *values: object) -> None:
        """Add one, binding a value at each ``{}``."""
        self._sql.append(self._bound(template, *values))

    def _bound(self, template: str, *values: object) -> str:
        names = []
        for value in values:
            name = f"value_{len(self.parameters)}"
            self.parameters[name] = value
            names.append(f"CAST(:{name} AS {'text[]' if isinstance(value, list) else 'text'})")
        return template.format(*names)

    def match(self, match: Match) -> None:
        """Add what a search key demands."""
        expression = EXPRESSIONS[match.attribute.keyword]
        if match.attribute.keyword == "ModalitiesInStudy":
            self._in_study(match)
            return
        match match:
            case Exact(_, value):
                self.add(f"lower({expression}) = lower({{}})", value)
            case Wildcard(_, pattern):
                self.add(f"lower({expression}) LIKE lower({{}})", _like(pattern))
            case Modalities(_, values):
                self.add(f"upper({expression}) = ANY({{}})", sorted(values))
            case Uids(_, uids):
                self.add(f"{expression} = ANY({{}})", sorted(uids))
            case DateRange() | TimeRange() | DateTimeRange():
                self._between(_ordered(match), match.first, match.last)
            case PersonName(_, pattern):
                self._person_name(expression, pattern)
            case FuzzyName(_, words):
                for word in words:
                    self._word_of_name(expression, word)
            case _:
                assert_never(match)

    def _in_study(self, match: Match) -> None:
        is_one = self.of_modality(match, "modality")
        self._sql.append(f"EXISTS (SELECT 1 FROM unnest(t.modalities) AS modality WHERE {is_one})")  # noqa: S608 - constants

    def of_modality(self, match: Match, expression: str) -> str:
        """Return the SQL of what a match of ModalitiesInStudy demands of one modality, and bind its values.

        Parameters
        ----------
        match
            The match.
        expression
            The SQL of the modality. One that is empty or NULL is none: no pattern but that of everything, which is no
            match, takes the empty one.
        """
        match match:
            case Wildcard(_, pattern):
                return self._bound(f"lower({expression}) LIKE lower({{}})", _like(pattern))
            case Modalities(_, values):
                return self._bound(f"upper({expression}) = ANY({{}})", sorted(values))
            case _:
                raise AssertionError("the parser makes no other match of ModalitiesInStudy")

    def _between(self, expression: str, first: str | None, last: str | None) -> None:
        if first is not None:
            self.add(f"{expression} >= {{}}", first)
        if last is not None:
            self.add(f"{expression} <= {{}}", last)

    def _person_name(self, expression: str, pattern: str) -> None:
        groups = "=".join(group.strip(" ").rstrip("^ ") for group in pattern.split("=")).rstrip("=")
        like = _like(groups)
        names = [expression]
        if "=" not in groups:
            names += [f"split_part({expression}, '=', {number})" for number in (1, 2, 3)]
        condition = " OR ".join(f"{_plain(name)} LIKE {_plain('{0}')}" for name in names)
        self.add(f"({condition})", like)

    def _word_of_name(self, expression: str, word: str) -> None:
        # Metaphone knows Latin letters only and says the same, nothing, of all others.
        sound, asked = "dmetaphone(word)", "dmetaphone(unaccent({1}))"
        self.add(
            f"EXISTS (SELECT 1 FROM regexp_split_to_table({_plain(expression)}, '[\\s^=,.-]+') AS word "  # noqa: S608 - constants
            f"WHERE word LIKE {_plain('{0}')} OR ({sound} = {asked} AND {sound} <> ''))",
            f"{_like(word)}%",
            word,
        )


_LIKE: Final = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%", "?": "_"})


def _like(pattern: str) -> str:
    """Return a DICOM wildcard pattern as one of LIKE, in which only ``*`` and ``?`` have a meaning."""
    return pattern.translate(_LIKE)
