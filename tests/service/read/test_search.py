"""QIDO-RS over HTTP, on a real PostgreSQL."""

import pytest

from tests.service.read.catalog import Catalog, Somebody
from tests.service.read.client import Answer
from tests.service.read.conftest import ROOT, Running, Service

CT_AND_SR = {
    "StudyDate": "20260102",
    "StudyTime": "101500.5",
    "AccessionNumber": "A-1",
    "ReferringPhysicianName": "House^Gregory",
    "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "PatientID": "P_1",
    "PatientBirthDate": "19700203",
    "PatientSex": "F",
    "StudyID": "S1",
    "StudyDescription": "Thorax 100% \\ routine",
    "TimezoneOffsetFromUTC": "+0100",
    "BodyPartExamined": "CHEST",
}


def study(catalog: Catalog, alice: Somebody, bob: Somebody) -> None:
    """Catalog a CT and an SR of one study, of which Bob sees the CT alone."""
    album = catalog.album(bob, admins=(alice,))
    catalog.series(
        alice, album, study="1.2", series="1.2.3", instances=2, Modality="CT", SeriesNumber="2", attributes=CT_AND_SR
    )
    catalog.series(alice, study="1.2", series="1.2.4", Modality="SR", SeriesNumber="10", attributes=CT_AND_SR)


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


def values(answer: Answer, tag: str) -> list[object]:
    assert answer.status == 200, answer.body
    return [item[tag]["Value"][0] if "Value" in item[tag] else None for item in answer.json]


def studies(answer: Answer) -> list[object]:
    return values(answer, "0020000D")


def test_aggregates_are_those_of_the_visible_series(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    (hers,) = service.get("/studies", alice.token).json
    assert hers["00080061"]["Value"] == ["CT", "SR"]
    assert hers["00201206"]["Value"] == [2]
    assert hers["00201208"]["Value"] == [3]
    (his,) = service.get("/studies", bob.token).json
    assert his["00080061"]["Value"] == ["CT"]
    assert his["00201206"]["Value"] == [1]
    assert his["00201208"]["Value"] == [2]
    (series,) = service.get("/studies/1.2/series", bob.token).json
    assert series["0020000E"]["Value"] == ["1.2.3"]
    assert series["00201209"]["Value"] == [2]
    # The counts of the study are computed alike where another level asks for them.
    (series,) = service.get("/studies/1.2/series?includefield=all", bob.token).json
    assert (series["00201206"]["Value"], series["00201208"]["Value"], series["00080061"]["Value"]) == (
        [1],
        [2],
        ["CT"],
    )


def test_a_series_that_two_holders_share_is_counted_once(service: Service, alice: Somebody, bob: Somebody) -> None:
    albums = [service.catalog.album(bob, admins=(alice,)) for _ in range(3)]
    service.catalog.series(bob, *albums, study="1.2", series="1.2.3", instances=2, Modality="CT")
    (found,) = service.get("/studies", bob.token).json
    assert (found["00201206"]["Value"], found["00201208"]["Value"]) == ([1], [2])
    assert len(service.get("/studies/1.2/series", bob.token).json) == 1
    assert len(service.get("/instances", bob.token).json) == 2


def test_a_filter_on_modalities_looks_at_visible_series_only(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)

    async def use(running: Running) -> None:
        for modality in ("SR", "sr", "S*", "SR,PR", "SR\\PR"):
            path = f"/studies?ModalitiesInStudy={modality}"
            assert studies(await running.get(path, alice.token)) == ["1.2"]
            hidden = await running.get(path, bob.token)
            assert (hidden.status, hidden.json, hidden.header("x-total-count")) == (200, [], "0")

    service.run(use)


def test_attributes_of_a_study_come_from_the_visible_series_confirmed_first(
    service: Service, alice: Somebody, bob: Somebody
) -> None:
    album = service.catalog.album(bob, admins=(alice,))
    service.catalog.series(alice, study="1.2", series="1.2.3", PatientName="First^Hidden", PatientID="H")
    service.catalog.series(alice, album, study="1.2", series="1.2.4", PatientName="Second^Seen", PatientID="S")
    service.catalog.series(alice, album, study="1.2", series="1.2.5", PatientName="Third^Seen", PatientID="T")
    assert values(service.get("/studies", alice.token), "00100010") == [{"Alphabetic": "First^Hidden"}]
    assert values(service.get("/studies", bob.token), "00100010") == [{"Alphabetic": "Second^Seen"}]
    # What is not shown is not matched on either.
    assert service.get("/studies?PatientID=H", bob.token).json == []
    assert service.get("/studies?PatientName=First*", bob.token).json == []
    assert studies(service.get("/studies?PatientID=S", bob.token)) == ["1.2"]


def test_pages_hold_each_granted_study_once(service: Service, alice: Somebody, bob: Somebody) -> None:
    album = service.catalog.album(bob, admins=(alice,))
    for number in range(30):
        holders = (alice, album) if number % 3 == 0 else (alice,)
        date = f"202601{1 + number % 2:02}"
        service.catalog.series(*holders, study=f"1.{number}", series=f"2.{number}", StudyDate=date)

    async def use(running: Running) -> list[Answer]:
        return [await running.get(f"/studies?limit=4&offset={offset}", bob.token) for offset in (0, 4, 8, 12)]

    pages = service.run(use)
    assert [len(page.json) for page in pages] == [4, 4, 2, 0]
    assert [page.header("x-total-count") for page in pages] == ["10"] * 4
    assert [page.all("warning") for page in pages] == [
        ['299 kheops "There are 6 additional results that can be requested"'],
        ['299 kheops "There are 2 additional results that can be requested"'],
        [],
        [],
    ]
    listed = [uid for page in pages for uid in studies(page)]
    assert len(set(listed)) == 10
    whole = service.get("/studies", bob.token)
    assert studies(whole) == listed
    dates = values(whole, "00080020")
    assert dates == sorted(dates, reverse=True)  # type: ignore[type-var]


def test_what_has_no_value_comes_last_in_either_direction(service: Service, alice: Somebody) -> None:
    for number, (date, name) in enumerate(
        [("20260103", "b"), ("", ""), ("20260101", "C"), ("", ""), ("20260101", "a")]
    ):
        attributes = {"StudyDate": date, "PatientName": name} if date else {}
        service.catalog.series(alice, study=f"1.{number}", series=f"2.{number}", attributes=attributes)

    async def use(running: Running) -> dict[str, list[object]]:
        return {
            sort: studies(await running.get(f"/studies?sort={sort}", alice.token))
            for sort in ("StudyDate", "-StudyDate", "PatientName", "-PatientName", "StudyInstanceUID")
        }

    assert service.run(use) == {
        "StudyDate": ["1.2", "1.4", "1.0", "1.1", "1.3"],
        "-StudyDate": ["1.0", "1.4", "1.2", "1.3", "1.1"],
        "PatientName": ["1.4", "1.0", "1.2", "1.1", "1.3"],
        "-PatientName": ["1.2", "1.0", "1.4", "1.3", "1.1"],
        "StudyInstanceUID": ["1.0", "1.1", "1.2", "1.3", "1.4"],
    }


MATCHES = [
    ("StudyDate=20260102", True),
    ("StudyDate=20260103", False),
    ("StudyDate=20260101-20260102", True),
    ("StudyDate=-20260101", False),
    ("StudyDate=20260102-", True),
    ("00080020=20260102", True),
    ("StudyTime=1015", True),
    ("StudyTime=101500", True),
    ("StudyTime=101501", False),
    ("StudyTime=10-11", True),
    ("StudyTime=11-", False),
    ("StudyTime=-1014", False),
    ("AccessionNumber=A-1", True),
    ("AccessionNumber=a-1", True),
    ("AccessionNumber=A-", False),
    ("AccessionNumber=A-?", True),
    ("ReferringPhysicianName=house*", True),
    ("PatientName=yamada^tarou", True),
    ("PatientName=Yamada", False),
    ("PatientName=Yamada^Tarou^", True),
    ("PatientName=*tarou", True),
    ("PatientName=?amada*", True),
    ("PatientName=%E5%B1%B1%E7%94%B0*", True),
    ("PatientName=%E5%B1%B1%E7%94%B0%5E%E5%A4%AA%E9%83%8E", True),
    ("PatientName=Yamada*=%E5%B1%B1*", True),
    ("PatientName=House*", False),
    ("PatientID=P_1", True),
    ("PatientID=P*1", True),
    ("PatientID=Px1", False),
    ("PatientID=P%25", False),
    ("PatientID=_*", False),
    ("PatientID=", True),
    ("PatientID=*", True),
    ("StudyDescription=thorax*100%25*", True),
    ("StudyDescription=thorax*\\*", True),
    ("StudyDescription=100%25", False),
    ("PatientBirthDate=19700203", True),
    ("PatientSex=f", True),
    ("StudyID=S1", True),
    ("StudyInstanceUID=1.2", True),
    ("StudyInstanceUID=1.3,1.2", True),
    ("StudyInstanceUID=1.3", False),
    ("ModalitiesInStudy=CT", True),
    ("ModalitiesInStudy=MR,CT", True),
    ("ModalitiesInStudy=MR", False),
    ("PatientName=Yamada*&StudyDate=20260102&PatientID=P_1", True),
    ("PatientName=Yamada*&StudyDate=20260103", False),
]


def test_each_kind_of_match(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    service.catalog.series(alice, study="7.7", series="7.7.7")

    async def use(running: Running) -> list[tuple[str, bool]]:
        found = []
        for key, _ in MATCHES:
            answer = await running.get(f"/studies?{key}", bob.token)
            assert answer.status == 200, (key, answer.body)
            found.append((key, bool(answer.json)))
        return found

    assert service.run(use) == MATCHES


def test_what_cannot_be_understood_is_said(service: Service, alice: Somebody) -> None:
    async def use(running: Running) -> None:
        keys = ("limit=0", "limit=x", "offset=-1", "StudyDate=yesterday", "sort=PatientSex", "album=a&inbox=true")
        malformed = ("PatientID=a%00", "PatientID=a%0a", "PatientID=%ff", "a%0db=1", "&".join(["x=1"] * 1100))
        for key in (*keys, *malformed):
            answer = await running.get(f"/studies?{key}", alice.token)
            assert (answer.status, bool(answer.json["detail"])) == (400, True), key

    service.run(use)


SERIES = [
    ("/studies/1.2/series?Modality=ct", ["1.2.3"]),
    ("/studies/1.2/series?Modality=SR,CT", ["1.2.3", "1.2.4"]),
    ("/studies/1.2/series?SeriesNumber=10", ["1.2.4"]),
    ("/studies/1.2/series?SeriesInstanceUID=1.2.4", ["1.2.4"]),
    ("/studies/1.2/series?BodyPartExamined=CHE*", ["1.2.3", "1.2.4"]),
    ("/studies/1.2/series?sort=-SeriesNumber", ["1.2.4", "1.2.3"]),
    ("/studies/1.2/series?sort=NumberOfSeriesRelatedInstances", ["1.2.4", "1.2.3"]),
    ("/studies/1.3/series", []),
    ("/series?PatientID=P_1", ["1.2.3", "1.2.4"]),
    ("/series?ModalitiesInStudy=SR", ["1.2.3", "1.2.4"]),
    ("/series?StudyInstanceUID=1.2&Modality=SR", ["1.2.4"]),
]


def test_series_are_searched_below_a_study_and_everywhere(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)

    async def use(running: Running) -> list[tuple[str, list[object]]]:
        return [(path, values(await running.get(path, alice.token), "0020000E")) for path, _ in SERIES]

    assert service.run(use) == SERIES


INSTANCES = [
    ("/studies/1.2/series/1.2.3/instances", ["1.2.3.1", "1.2.3.2", "1.2.3.10"]),
    ("/studies/1.2/series/1.2.3/instances?InstanceNumber=10", ["1.2.3.10"]),
    ("/studies/1.2/series/1.2.3/instances?SOPInstanceUID=1.2.3.2", ["1.2.3.2"]),
    ("/studies/1.2/series/1.2.3/instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.2", ["1.2.3.1", "1.2.3.2", "1.2.3.10"]),
    ("/studies/1.2/series/1.2.3/instances?sort=-InstanceNumber&limit=1", ["1.2.3.10"]),
    ("/studies/1.2/series/1.2.9/instances", []),
    ("/studies/1.9/series/1.2.3/instances", []),
    ("/studies/1.2/instances?Modality=SR", ["1.2.4.1"]),
    ("/instances?PatientID=P_1&Modality=SR", ["1.2.4.1"]),
]


def test_instances_are_searched_at_each_level(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    service.catalog.instance("1.2.3", "1.2.3.10", InstanceNumber="10")

    async def use(running: Running) -> list[tuple[str, list[object]]]:
        return [(path, values(await running.get(path, alice.token), "00080018")) for path, _ in INSTANCES]

    assert service.run(use) == INSTANCES


def test_required_attributes_are_returned_at_each_level(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    (found,) = service.get("/studies", bob.token).json
    # PS3.18 table 10.6.3-3, and StudyDescription.
    assert set(found) == {
        "00080005", "00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00080201", "00081030",
        "00081190", "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
    }  # fmt: skip
    assert list(found) == sorted(found)
    assert found["00080056"]["Value"] == ["ONLINE"]
    assert found["00081190"] == {"vr": "UR", "Value": [f"{ROOT}/api/studies/1.2"]}
    assert found["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    (found,) = service.get("/studies/1.2/series", bob.token).json
    assert {"00080060", "0020000E", "00200011", "00201209", "00081190", "0020000D"} <= set(found)
    assert "00100010" not in found
    assert found["00081190"]["Value"] == [f"{ROOT}/api/studies/1.2/series/1.2.3"]
    found = service.get("/studies/1.2/series/1.2.3/instances", bob.token).json[0]
    assert {"00080016", "00080018", "00200013", "00083002", "00080056", "00081190"} <= set(found)
    assert "00080060" not in found
    assert found["00081190"]["Value"] == [f"{ROOT}/api/studies/1.2/series/1.2.3/instances/1.2.3.1"]
    # A relational search answers the levels that its path leaves open.
    assert {"00100010", "00201206"} <= set(service.get("/series", bob.token).json[0])
    assert "00080060" in service.get("/studies/1.2/instances", bob.token).json[0]
    assert {"00080060", "00100010"} <= set(service.get("/instances", bob.token).json[0])


def test_fields_and_keys_that_are_ignored_are_named(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    answer = service.get(
        "/studies/1.2/series?includefield=PatientName,00100020&includefield=Modalty&Manufacturer=ACME"
        "&fuzzymatching=true",
        bob.token,
    )
    (found,) = answer.json
    assert {"00100010", "00100020"} <= set(found)
    assert answer.all("warning") == [
        '299 kheops "These keys were not matched on: Manufacturer"',
        '299 kheops "These fields are not available: Modalty"',
    ]


def test_what_has_no_value_is_left_out(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3")
    (found,) = service.get("/studies", alice.token).json
    assert "00080061" not in found
    assert "00100010" not in found


def test_series_that_are_not_confirmed_are_invisible(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3", Modality="CT")
    for number, state in enumerate(("reserved", "orphan", "deleting")):
        service.catalog.series(alice, study="1.2", series=f"1.2.4.{number}", Modality="SR", state=state)
    (found,) = service.get("/studies", alice.token).json
    assert (found["00080061"]["Value"], found["00201206"]["Value"]) == (["CT"], [1])
    assert values(service.get("/studies/1.2/series", alice.token), "0020000E") == ["1.2.3"]
    assert len(service.get("/instances", alice.token).json) == 1


def test_reserved_instances_are_invisible(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3")
    service.catalog.instance("1.2.3", "1.2.3.9", state="reserved")
    answer = service.get("/studies/1.2/series/1.2.3/instances", alice.token)
    assert values(answer, "00080018") == ["1.2.3.1"]
    assert answer.header("x-total-count") == "1"


def test_sources_narrow_what_is_searched(service: Service, alice: Somebody, bob: Somebody) -> None:
    album = service.catalog.album(bob, admins=(alice,))
    other = service.catalog.album(bob)
    service.catalog.series(bob, study="1.1", series="1.1.1")
    service.catalog.series(album, study="1.2", series="1.2.1", StudyDate="20260101")
    service.catalog.series(other, study="1.3", series="1.3.1")

    assert sorted(map(str, studies(service.get("/studies", bob.token)))) == ["1.1", "1.2", "1.3"]
    assert studies(service.get("/studies?inbox=true", bob.token)) == ["1.1"]
    assert studies(service.get("/studies?inbox", bob.token)) == ["1.1"]
    assert len(service.get("/studies?inbox=false", bob.token).json) == 3
    assert studies(service.get(f"/studies?album={album.id}", bob.token)) == ["1.2"]
    assert service.get(f"/studies/1.3/series?album={album.id}", bob.token).json == []
    # Alice is no member of the other album, and nobody is of one that does not exist.
    hidden = service.get(f"/studies?album={other.id}", alice.token)
    absent = service.get("/studies?album=0123456789", alice.token)
    assert hidden.status == 404
    assert hidden.told == absent.told


def test_a_token_of_album_scope_sees_its_album_alone(service: Service, alice: Somebody) -> None:
    album = service.catalog.album(admins=(alice,))
    other = service.catalog.album(admins=(alice,))
    service.catalog.series(alice, study="1.1", series="1.1.1")
    service.catalog.series(album, study="1.2", series="1.2.1", Modality="CT")
    service.catalog.series(alice, study="1.2", series="1.2.2", Modality="SR")
    token = service.catalog.token(alice.user, album=album)
    (found,) = service.get("/studies", token).json
    assert (found["0020000D"]["Value"], found["00080061"]["Value"]) == (["1.2"], ["CT"])
    assert service.get(f"/studies?album={album.id}", token).json == [found]
    assert service.get(f"/studies?album={other.id}", token).status == 404
    assert service.get("/studies?inbox=true", token).status == 403
    assert service.get("/studies/1.1/series", token).json == []


def test_a_token_that_does_not_read_is_refused_before_any_uid(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3")
    token = service.catalog.token(alice.user, read=False, write=True)
    for path in ("/studies", "/studies/1.2/series", "/studies/1.2", "/studies/1.2/metadata"):
        refused = service.get(path, token)
        assert refused.status == 403
        assert refused.told == service.get(path.replace("1.2", "9.9"), token).told


def test_links_carry_the_token_only_where_the_caller_came_by_one(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3")
    by_link = service.get(f"/link/{alice.token}/studies", None)
    assert values(by_link, "00081190") == [f"{ROOT}/api/link/{alice.token}/studies/1.2"]
    assert alice.token.encode() not in service.get("/studies", alice.token).body


def test_json_is_answered_as_asked(service: Service, alice: Somebody) -> None:
    async def use(running: Running) -> None:
        for accept, expected in (
            ("application/dicom+json", "application/dicom+json"),
            ("application/json", "application/json"),
            ("*/*", "application/dicom+json"),
            ("application/json;q=0.5, text/html", "application/json"),
        ):
            answer = await running.get("/studies", alice.token, headers={"accept": accept})
            assert (answer.status, answer.body, answer.header("content-type")) == (200, b"[]", expected)
            assert answer.header("cache-control") == "private, no-cache"

    service.run(use)


def test_other_media_types_are_not_acceptable(service: Service, alice: Somebody) -> None:
    answer = service.get("/studies", alice.token, headers={"accept": "text/html"})
    assert answer.status == 406
    assert "application/dicom+json" in answer.json["detail"]


def test_head_is_get_without_the_body(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3")

    async def use(running: Running) -> None:
        for path in ("/studies", "/studies/1.2/series", "/series", "/instances"):
            head = await running.get(path, alice.token, method="HEAD")
            assert head.told[:2] == (await running.get(path, alice.token)).told[:2]
            assert (head.body, head.complete) == (b"", True)

    service.run(use)


def test_long_answers_are_encoded_in_slices(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2", series="1.2.3", instances=0)
    pk = service.catalog.value("SELECT pk FROM series")
    service.catalog.execute(
        "INSERT INTO instances (series_pk, sop_instance_uid, state, created_at, instance_number) "
        "SELECT :pk, '1.2.3.' || n, 'confirmed', now(), n FROM generate_series(1, 10003) n",
        pk=pk,
    )
    service.catalog.execute("UPDATE series SET number_of_instances = 10003")
    answer = service.get("/studies/1.2/series/1.2.3/instances?limit=20000", alice.token)
    assert values(answer, "00200013") == list(range(1, 10_001))
    assert answer.chunks > 10
    assert answer.header("x-total-count") == "10003"
    assert answer.all("warning") == ['299 kheops "There are 3 additional results that can be requested"']


def test_a_search_is_recorded_with_what_it_showed(service: Service, alice: Somebody, bob: Somebody) -> None:
    study(service.catalog, alice, bob)
    service.get("/studies", bob.token)
    service.get("/studies/9.9/series/9.9.9/instances", bob.token)
    rows = service.catalog.rows(
        "SELECT kind, outcome, study_instance_uids, series_instance_uids, sub FROM audit ORDER BY pk"
    )
    assert rows == [
        ("search", "granted", ["1.2"], [], "bob"),
        ("search", "granted", ["9.9"], ["9.9.9"], "bob"),
    ]


def test_without_a_credential_nothing_is_searched(service: Service) -> None:
    assert service.get("/studies", None).status == 401
    assert service.get("/studies", "0" * 22).status == 401
