"""How often one person may be told that a UID is in use."""

import pytest

from kheops.errors import TooManyRequestsError
from kheops.ids import SeriesInstanceUID, UserPk
from kheops.services.refusals import (
    REFUSALS_PER_WINDOW,
    REFUSED_INSTANCES_PER_WINDOW,
    WINDOW_SECONDS,
    RefusalLimit,
)

MALLORY, ALICE = UserPk(1), UserPk(2)


class _Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def _series(number: int) -> SeriesInstanceUID:
    return SeriesInstanceUID(f"1.2.{number}")


def _wait(limit: RefusalLimit, user: UserPk) -> int | None:
    try:
        limit.check(user)
    except TooManyRequestsError as error:
        return error.retry_after
    return None


def test_different_series_are_counted_and_the_instances_of_one_are_not() -> None:
    limit = RefusalLimit(_Clock())
    for _ in range(REFUSALS_PER_WINDOW * 10):
        limit.add(MALLORY, _series(0))
    assert _wait(limit, MALLORY) is None
    for number in range(1, REFUSALS_PER_WINDOW):
        assert _wait(limit, MALLORY) is None
        limit.add(MALLORY, _series(number))
    assert _wait(limit, MALLORY) == WINDOW_SECONDS + 1
    assert _wait(limit, ALICE) is None


def test_whoever_looks_for_instances_in_one_series_is_stopped_as_well() -> None:
    limit = RefusalLimit(_Clock())
    for _ in range(REFUSED_INSTANCES_PER_WINDOW):
        assert _wait(limit, MALLORY) is None
        limit.add(MALLORY, _series(0))
    assert _wait(limit, MALLORY) == WINDOW_SECONDS + 1


def test_people_whose_refusals_no_longer_count_are_not_remembered() -> None:
    clock = _Clock()
    limit = RefusalLimit(clock)
    for number in range(50):
        limit.add(UserPk(100 + number), _series(number))
    clock.at += WINDOW_SECONDS - 1
    limit.add(UserPk(120), _series(0))
    clock.at += 2
    limit.add(MALLORY, _series(0))
    assert set(limit._refusals) == {UserPk(120), MALLORY}


@pytest.mark.parametrize("spread", [True, False])
def test_a_refusal_is_forgotten_when_its_window_is_over(spread: bool) -> None:
    clock = _Clock()
    limit = RefusalLimit(clock)
    for number in range(REFUSALS_PER_WINDOW if spread else REFUSED_INSTANCES_PER_WINDOW):
        limit.add(MALLORY, _series(number if spread else 0))
    clock.at += WINDOW_SECONDS - 10
    assert _wait(limit, MALLORY) == 11
    # Being refused the same again does not make the wait longer.
    limit.add(MALLORY, _series(0))
    clock.at += 11
    assert _wait(limit, MALLORY) is None
    limit.add(MALLORY, _series(0))
    assert _wait(limit, MALLORY) is None
