"""The permission matrix, asked of the pure policy."""

from collections import Counter

from tests.matrices.by_policy import outcome_of, raw_outcome_of
from tests.matrices.notation import READING, Action, Outcome
from tests.matrices.permissions import rows
from tests.matrices.world import CREDENTIALS, SERIES, stands


def test_the_policy_decides_every_row_as_the_matrix_says() -> None:
    found = [(row, outcome_of(row)) for row in rows()]
    wrong = [f"{row}: {row.expected.name}, the policy: {got.name}" for row, got in found if got is not row.expected]
    assert not wrong, f"{len(wrong)} of {len(found)} rows:\n" + "\n".join(wrong)


def test_the_policy_allows_nothing_to_the_token_of_somebody_who_was_demoted() -> None:
    # Authentication ends such a token; should it ever let one through, the policy still gives nothing.
    asked = [row for row in rows() if row.principal == "1.demoted"]
    assert [str(row) for row in asked if raw_outcome_of(row) is Outcome.ALLOWED] == []
    assert {row.action for row in asked} >= set(READING)


def test_the_matrix_has_every_action_every_credential_and_every_series() -> None:
    matrix = rows()
    assert {row.action for row in matrix} == set(Action)
    assert {row.principal for row in matrix} == set(CREDENTIALS)
    assert {row.object for row in matrix} >= set(SERIES)
    assert len(matrix) >= 250


def test_the_matrix_says_each_thing_once() -> None:
    counts = Counter((row.principal, row.action, row.object) for row in rows())
    assert [key for key, count in counts.items() if count > 1] == []


def test_only_credentials_that_stand_for_nobody_are_unauthenticated() -> None:
    for row in rows():
        assert (row.expected is Outcome.UNAUTHENTICATED) == (not stands(CREDENTIALS[row.principal])), str(row)


def test_each_action_is_allowed_to_somebody_and_refused_to_somebody() -> None:
    for action in Action:
        outcomes = {row.expected for row in rows() if row.action is action}
        assert Outcome.ALLOWED in outcomes, action
        assert outcomes & {Outcome.ABSENT, Outcome.FORBIDDEN, Outcome.WITHOUT}, action
