"""Person names without regard to accents, by word and by sound; dates and times as one range."""

import pytest

from tests.service.read.catalog import Somebody
from tests.service.read.conftest import Running, Service

STUDY = "0020000D"
NAMES = {
    "1.1": "M\u00fcller^J\u00fcrgen",
    "1.2": "Meyer^Anna Maria",
    "1.3": "Maier^Georg",
    "1.4": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046",
    "1.5": "O'Brien-Smith^Pat",
    "1.6": "100%_sure^Al",
}


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


def found(service: Service, alice: Somebody, *queries: str) -> list[list[str]]:
    """Return the UIDs of the studies that each query finds."""

    async def use(running: Running) -> list[list[str]]:
        answers = [await running.get(f"/studies?{query}", alice.token) for query in queries]
        for answer, query in zip(answers, queries, strict=True):
            assert (answer.status, answer.all("warning")) == (200, []), query
        return [sorted(each[STUDY]["Value"][0] for each in answer.json) for answer in answers]

    return service.run(use)


def named(service: Service, alice: Somebody) -> None:
    for uid, name in NAMES.items():
        service.catalog.series(alice, study=uid, series=f"{uid}.1", PatientName=name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("muller*", ["1.1"]),
        ("M%C3%9CLLER^jurgen", ["1.1"]),
        ("M%C3%BCller*", ["1.1"]),
        ("muller", []),
        ("100%25_sure*", ["1.6"]),
        ("100x*", []),
    ],
)
def test_accents_and_case_do_not_count_in_names(
    service: Service, alice: Somebody, value: str, expected: list[str]
) -> None:
    named(service, alice)
    assert found(service, alice, f"PatientName={value}") == [expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("jurgen muller", ["1.1"]),
        ("J%C3%BCrgen", ["1.1"]),
        ("jurge", ["1.1"]),
        ("Meier", ["1.2", "1.3"]),
        ("anna meyer", ["1.2"]),
        ("anna georg", []),
        ("%E5%B1%B1%E7%94%B0", ["1.4"]),
        ("%E7%94%B0", []),
        ("smith", ["1.5"]),
        ("urgen", []),
        ("100%25", ["1.6"]),
        ("1%25", []),
        ("*", sorted(NAMES)),
    ],
)
def test_a_fuzzy_name_is_words_in_any_order_by_beginning_or_sound(
    service: Service, alice: Somebody, value: str, expected: list[str]
) -> None:
    named(service, alice)
    assert found(service, alice, f"fuzzymatching=true&PatientName={value}") == [expected]


def test_fuzzy_matching_is_for_names_only_and_changes_no_order(service: Service, alice: Somebody) -> None:
    named(service, alice)
    service.catalog.series(alice, study="1.7", series="1.7.1", PatientID="Meier", StudyDescription="Meier")
    none, exact = found(
        service, alice, "fuzzymatching=true&PatientID=Meyer", "fuzzymatching=true&StudyDescription=Meier"
    )
    assert (none, exact) == ([], ["1.7"])

    async def use(running: Running) -> list[list[str]]:
        lists = []
        for fuzzy in ("true", "false"):
            answer = await running.get(f"/studies?fuzzymatching={fuzzy}&sort=-PatientName", alice.token)
            lists.append([each[STUDY]["Value"][0] for each in answer.json])
        return lists

    first, second = service.run(use)
    assert first == second


def test_too_many_words_are_refused(service: Service, alice: Somebody) -> None:
    words = "%20".join("abcdefghi")
    answer = service.get(f"/studies?fuzzymatching=true&PatientName={words}", alice.token)
    assert answer.status == 400


def test_ranges_of_dates_and_times_are_one_range_of_moments(service: Service, alice: Somebody) -> None:
    for uid, date, time in (
        ("2.1", "20260101", "2130"),
        ("2.2", "20260101", "220000.5"),
        ("2.3", "20260102", "0559"),
        ("2.4", "20260102", "0601"),
        ("2.5", "20260102", "12"),
    ):
        service.catalog.series(alice, study=uid, series=f"{uid}.1", StudyDate=date, StudyTime=time)
    service.catalog.series(alice, study="2.6", series="2.6.1", StudyDate="20260102")
    night, since, until, of_a_day, mixed = found(
        service,
        alice,
        "StudyDate=20260101-20260102&StudyTime=2200-0600",
        "StudyDate=20260101-&StudyTime=2200-",
        "StudyDate=-20260102&StudyTime=-0559",
        "StudyDate=20260102&StudyTime=0500-0700",
        "StudyDate=20260101-20260102&StudyTime=-0600",
    )
    assert night == ["2.2", "2.3", "2.6"]
    assert since == ["2.2", "2.3", "2.4", "2.5", "2.6"]
    assert until == ["2.1", "2.2", "2.3", "2.6"]
    # A single date, or another form of range, keeps each to itself.
    assert of_a_day == ["2.3", "2.4"]
    assert mixed == ["2.3"]
