"""``docs/errors.md`` lists every error with its code and status, and every error has a status on purpose."""

from kheops import errors
from kheops.errors import KheopsError
from kheops.web.errors import STATUSES
from tests.unit.docs.modules import all_modules, subclasses
from tests.unit.docs.tables import rows

_PAGE = "docs/errors.md"
_STAY_WITHIN = {"ConfigurationError", "UnreadableDicomError", "NotDicomError", "TruncatedFileError"} | {
    "DoubtfulIdentityError",
    "MalformedMediaTypeError",
    "OtherClassError",
}
"""What never reaches a caller by itself: it ends a start, or is caught where it is of use."""


def _classes() -> set[type[KheopsError]]:
    all_modules()
    found: set[type[KheopsError]] = {KheopsError, *subclasses(KheopsError)}
    return {each for each in found if each.__module__.startswith("kheops.") and not each.__name__.startswith("_")}


def _status(of: type[KheopsError]) -> int:
    return next(STATUSES[each] for each in of.__mro__ if each in STATUSES)


def test_every_error_is_listed_with_its_code_and_status() -> None:
    documented = {(row[2], row[0], row[1]) for row in rows(_PAGE, "Codes")}
    assert documented == {(each.__name__, each.code, str(_status(each))) for each in _classes()}


def test_every_error_says_when() -> None:
    assert [row[2] for row in rows(_PAGE, "Codes") if len(row[3]) < 20] == []


def test_every_error_that_can_reach_a_caller_is_mapped_to_a_status_of_its_own_kind() -> None:
    unmapped = {each.__name__ for each in _classes() if _status(each) == STATUSES[KheopsError]}
    assert unmapped == {"KheopsError", *_STAY_WITHIN}


def test_all_errors_of_the_tree_are_exported() -> None:
    here = {each.__name__ for each in _classes() if each.__module__ == "kheops.errors"}
    assert here == set(errors.__all__)


def test_one_code_means_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for each in _classes():
        statuses.setdefault(each.code, set()).add(_status(each))
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}
