"""Attributes that only the store has, in answers to searches; on a real PostgreSQL, before two real stores."""

import json
from typing import Any, cast

import pytest

from kheops.archive.port import Archive
from kheops.domain.policy import ReadableInstance
from kheops.services.stored_attributes import MOST_ROWS
from tests.contract.archive.objects import stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.conftest import Running, Service
from tests.service.read.test_retrieve import put
from tests.unit.read.streams import ScriptedStream

MANUFACTURER, SLICE_THICKNESS, PIXELS = "00080070", "00180050", "7FE00010"


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


def test_a_field_that_the_catalog_lacks_comes_from_the_store_at_each_level(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(2)
    put(service, store, held, alice)

    async def use(running: Running) -> None:
        series = f"/studies/{held[0].ref.study_instance_uid}/series"
        instances = f"{series}/{held[0].ref.series_instance_uid}/instances"
        for path, rows in (("/studies", 1), (series, 1), (instances, 2), ("/series", 1), ("/instances", 2)):
            plain = await running.get(path, alice.token)
            asked = await running.get(
                f"{path}?includefield=Manufacturer,{SLICE_THICKNESS}&includefield=PixelData", alice.token
            )
            assert (asked.status, asked.all("warning")) == (200, []), path
            assert len(asked.json) == rows
            for before, after in zip(plain.json, asked.json, strict=True):
                assert MANUFACTURER not in before
                assert after[MANUFACTURER]["Value"][0]
                assert after[MANUFACTURER]["vr"] == "LO"
                # Pixels are given by an address of the store, and so not at all.
                assert store.root.split("/")[2] not in json.dumps(after)
                assert list(after) == sorted(after)
                further = {MANUFACTURER, SLICE_THICKNESS, PIXELS}
                assert {key: after[key] for key in after if key not in further} == before

    service.run(use, store.new())


def test_a_study_is_described_by_a_series_that_the_caller_sees(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    study = "1.2.3.55"
    hidden = stored_object("MR_small.dcm", study=study, series=f"{study}.1")
    shown = stored_object("CT_small.dcm", study=study, series=f"{study}.2")
    put(service, store, [hidden], alice)
    put(service, store, [shown], alice, bob)

    async def use(running: Running) -> None:
        query = "/studies?includefield=ScanOptions,EchoTime,FilterType"
        hers = (await running.get(query, alice.token)).json[0]
        his = (await running.get(query, bob.token)).json[0]
        # Echo Time is MR's, Filter Type is CT's.
        assert "00180081" in hers
        assert "00180081" not in his
        assert "00181160" in his

    service.run(use, store.new())


def test_a_row_whose_instance_the_store_has_lost_is_answered_without(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    service.catalog.series(alice, study="1.2.3.66", series="1.2.3.66.1")

    async def use(running: Running) -> None:
        answer = await running.get("/studies?includefield=Manufacturer", alice.token)
        assert answer.status == 200
        assert [MANUFACTURER in row for row in answer.json] == [False]

    service.run(use, store.new())


class Inline:
    """A store that gives one value inline, as large as it is told to, and one that is no element at all."""

    def __init__(self, size: int) -> None:
        pixels = {"vr": "OB", "InlineBinary": "A" * size}
        document = [{MANUFACTURER: {"vr": "LO", "Value": ["ACME"]}, PIXELS: pixels, "00080080": 7}]
        self._body = json.dumps(document).encode()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)

    async def open_instance_metadata(self, ref: ReadableInstance) -> ScriptedStream:
        del ref
        return ScriptedStream(self._body, content_type="application/dicom+json")

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(("size", "is_given"), [(60_000, True), (70_000, False)])
def test_a_row_holds_no_more_than_it_has_room_for(
    service: Service,
    alice: Somebody,
    size: int,
    is_given: bool,
) -> None:
    service.catalog.series(alice, study="1.9", series="1.9.1")

    async def use(running: Running) -> None:
        answer = await running.get(f"/studies?includefield={MANUFACTURER},{PIXELS}", alice.token)
        assert [(MANUFACTURER in row, PIXELS in row) for row in answer.json] == [(True, is_given)]
        unreadable = await running.get("/studies?includefield=00080080", alice.token)
        assert (unreadable.status, len(unreadable.json)) == (200, 1)

    service.run(use, cast("Archive", Inline(size)))


def test_a_long_page_is_answered_from_the_catalog_and_says_so(service: Service, alice: Somebody) -> None:
    for number in range(MOST_ROWS + 1):
        service.catalog.series(alice, study=f"1.9.{number}", series=f"1.9.{number}.1")
    # There is no store here: nothing is asked of it.
    answer = service.get("/studies?includefield=Manufacturer", alice.token)
    assert (answer.status, len(answer.json)) == (200, MOST_ROWS + 1)
    words = f"These fields are available for pages of {MOST_ROWS} at most: 00080070"
    assert answer.all("warning") == [f'299 kheops "{words}"']


def test_a_store_that_is_away_fails_only_searches_that_need_it(service: Service, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.9", series="1.9.1")
    assert service.get("/studies?includefield=StudyDescription", alice.token).status == 200
    assert service.get("/studies?includefield=Manufacturer", alice.token).status == 503
