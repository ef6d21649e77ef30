"""What clients suffered from other servers where there was much to find.

Numbers are those of the rows of ``pains.md``; the others of its section on searches are in
``tests/system/clients/test_pains_search.py``.
"""

from tests.service.read.conftest import Service

STUDIES = 5_001
"""One more than one answer holds."""


def _studies(service: Service, *, held_by: int) -> None:
    """Catalog studies of one series each, in one album or inbox."""
    service.catalog.execute(
        "WITH made AS ("
        " INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, updated_at, confirmed_at,"
        " number_of_instances, study_date, modality)"
        " SELECT '1.2.' || n, '1.2.' || n || '.1', 'confirmed', now(), now(), now(), 1, '20260101', 'CT'"
        " FROM generate_series(1, :count) n RETURNING pk)"
        " INSERT INTO album_series (album_pk, series_pk, added_at) SELECT :album, pk, now() FROM made",
        count=STUDIES,
        album=held_by,
    )


def test_pain_55_56_and_58_a_broad_search_is_bounded_and_says_so_and_the_rest_follows(service: Service) -> None:
    alice = service.catalog.person("alice")
    _studies(service, held_by=alice.inbox)
    first = service.get("/studies", alice.token)
    assert first.status == 200
    assert len(first.json) == STUDIES - 1
    assert first.header("x-total-count") == str(STUDIES)
    assert first.all("warning") == ['299 kheops "There are 1 additional results that can be requested"']
    rest = service.get(f"/studies?offset={STUDIES - 1}", alice.token)
    assert len(rest.json) == 1
    assert rest.header("warning") is None
    found = {row["0020000D"]["Value"][0] for row in [*first.json, *rest.json]}
    assert found == {f"1.2.{number}" for number in range(1, STUDIES + 1)}
    # A key picks from all of them, and not from a first page.
    last = service.get(f"/studies?StudyInstanceUID=1.2.{STUDIES}", alice.token)
    assert len(last.json) == 1


def test_pain_58_who_has_thousands_of_studies_retrieves_any_of_them_and_no_others(service: Service) -> None:
    alice, bob = service.catalog.person("alice"), service.catalog.person("bob")
    _studies(service, held_by=alice.inbox)
    service.catalog.series(bob, study="1.3", series="1.3.1")
    for path in ("/studies/1.2.5001/series", "/studies/1.3/series"):
        seen = {name: len(service.get(path, who.token).json) for name, who in (("alice", alice), ("bob", bob))}
        assert seen == ({"alice": 1, "bob": 0} if "5001" in path else {"alice": 0, "bob": 1})
