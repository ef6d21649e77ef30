"""``docs/kheops-differences.md`` tells which routes are there, and decides each known quirk of KHEOPS."""

import pytest

from tests.unit.docs.routes import control_routes, data_routes, page_routes
from tests.unit.docs.tables import rows

_PAGE = "docs/kheops-differences.md"
_QUIRKS = 26


@pytest.mark.parametrize(
    ("heading", "routes"), [("Routes of the control plane", control_routes()), ("Pages", page_routes())]
)
def test_routes_that_are_said_to_be_here_are_those_of_the_code(heading: str, routes: set[tuple[str, str]]) -> None:
    here = [(row[0], row[1]) for row in rows(_PAGE, heading) if row[2] == "here"]
    assert sorted(here) == sorted(routes)


def test_routes_that_are_said_to_be_missing_are_not_there() -> None:
    missing = {(row[0], row[1]) for row in rows(_PAGE, "Routes of the control plane") if row[2] == "not yet"}
    assert missing & (control_routes() | data_routes()) == set()


def test_states_are_of_the_two_kinds() -> None:
    listed = rows(_PAGE, "Routes of the control plane") + rows(_PAGE, "Pages")
    assert {row[2] for row in listed} == {"here", "not yet"}


def test_every_quirk_is_decided() -> None:
    table = rows(_PAGE, "Quirks")
    assert [row[0] for row in table] == [str(number) for number in range(1, _QUIRKS + 1)]
    assert [row[0] for row in table if len(row[1]) < 20 or len(row[2]) < 6] == []
