"""What an import says while it runs."""

from collections import Counter

import pytest

from kheops.jobs import importing
from kheops.jobs.importing import Reporter
from kheops.services.importing import Taken


@pytest.mark.parametrize(
    ("expected", "words"),
    [(40, "5 of 40 series: 3 assigned, 2 kept"), (None, "5 series: 3 assigned, 2 kept")],
)
def test_how_far_it_is_is_said_every_few_seconds(
    expected: int | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(importing, "monotonic", lambda: now)
    report = Reporter()
    taken = Taken(Counter(assigned=3, kept=2), expected)
    report(taken)
    assert capsys.readouterr().err == ""
    now += 5
    report(taken)
    report(taken)
    assert capsys.readouterr().err.splitlines() == [words]
