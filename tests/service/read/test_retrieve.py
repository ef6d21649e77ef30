"""WADO-RS over HTTP, on a real PostgreSQL, before Orthanc and before the Healthcare emulator."""

import asyncio
import io
import json
from collections.abc import Iterable

import pydicom
import pytest

from kheops.domain.resources import SeriesRef
from kheops.ids import SopInstanceUID
from tests.contract.archive.objects import Stored, pixel_data, stored_object, study_of_series
from tests.contract.archive.real_stores import Adapter, RealStore
from tests.service.read.catalog import Holder, Somebody
from tests.service.read.client import Answer
from tests.service.read.conftest import ROOT, Running, Service

FRAMES = "multipart/related; type=application/octet-stream"


def put(service: Service, store: RealStore, items: Iterable[Stored], *holders: Holder) -> None:
    """Put objects into store and catalog."""
    listed = list(items)

    async def use(archive: Adapter) -> None:
        outcome = await archive.store([item.held for item in listed])
        assert len(outcome.stored) == len(listed)

    store.run(use)
    series: dict[tuple[str, str], list[str]] = {}
    for item in listed:
        key = (item.ref.study_instance_uid, item.ref.series_instance_uid)
        series.setdefault(key, []).append(item.ref.sop_instance_uid)
    for (study, uid), instances in series.items():
        service.catalog.series(*holders, study=study, series=uid, instances=tuple(instances))


def path_of(item: Stored, level: str = "instance") -> str:
    ref = item.ref
    path = f"/studies/{ref.study_instance_uid}"
    if level != "study":
        path += f"/series/{ref.series_instance_uid}"
    if level == "instance":
        path += f"/instances/{ref.sop_instance_uid}"
    return path


def bodies(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer.body
    return sorted(data for _, data in answer.parts)


def expected(*items: Stored) -> list[bytes]:
    return sorted(item.body for item in items)


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


def test_each_level_gives_the_bytes_that_were_stored_and_no_hidden_series(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    shared, second, hidden = study_of_series(3, 1, 2)
    album = service.catalog.album(bob, admins=(alice,))
    put(service, store, shared + second, alice, album)
    put(service, store, hidden, alice)

    async def use(running: Running) -> None:
        for accept in ("*/*", 'multipart/related; type="application/dicom"; transfer-syntax=*'):
            headers = {"accept": accept}
            study = await running.get(path_of(shared[0], "study"), bob.token, headers=headers)
            assert bodies(study) == expected(*shared, *second)
            series = await running.get(path_of(shared[0], "series"), bob.token, headers=headers)
            assert bodies(series) == expected(*shared)
            instance = await running.get(path_of(shared[0]), bob.token, headers=headers)
            assert bodies(instance) == expected(shared[0])
            for answer in (study, series, instance):
                content_type = answer.header("content-type")
                assert content_type is not None
                assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
                assert answer.header("cache-control") == "private, no-cache"
                assert store.root.split("/")[2].encode() not in answer.body
                heads = {name for head, _ in answer.parts for name in head}
                assert heads <= {"content-type", "content-length", "mime-version"}
        hers = await running.get(path_of(shared[0], "study"), alice.token)
        assert bodies(hers) == expected(*shared, *second, *hidden)
        single = await running.get(path_of(shared[0]), bob.token, headers={"accept": "application/dicom"})
        assert (single.status, single.body) == (200, shared[0].body)
        assert str(single.header("content-type")).startswith("application/dicom")
        assert single.header("content-length") == str(len(shared[0].body))

    service.run(use, store.new())
    assert service.catalog.rows("SELECT 1 FROM series WHERE dirty") == []


def test_metadata_has_visible_confirmed_instances_and_our_links(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    shared, hidden = study_of_series(2, 1)
    extra = stored_object(
        "MR_small.dcm", study=shared[0].ref.study_instance_uid, series=shared[0].ref.series_instance_uid
    )
    album = service.catalog.album(bob, admins=(alice,))
    put(service, store, shared, alice, album)
    put(service, store, hidden, alice)

    async def unknown(archive: Adapter) -> None:
        await archive.store([extra.held])

    store.run(unknown)

    async def use(running: Running) -> None:
        for level, uids in (
            ("study", {item.ref.sop_instance_uid for item in shared}),
            ("series", {item.ref.sop_instance_uid for item in shared}),
            ("instance", {shared[0].ref.sop_instance_uid}),
        ):
            answer = await running.get(f"{path_of(shared[0], level)}/metadata", bob.token)
            assert answer.status == 200
            assert answer.header("content-type") == "application/dicom+json"
            assert {item["00080018"]["Value"][0] for item in answer.json} == uids, level
            assert store.root.split("/")[2].encode() not in answer.body
            for item in answer.json:
                link = item["7FE00010"]["BulkDataURI"]
                own = f"{ROOT}/api/studies/{shared[0].ref.study_instance_uid}/series/"
                assert link.startswith(own)
                bulk = await running.get(link.removeprefix(f"{ROOT}/api"), bob.token)
                stored = next(each for each in shared if each.ref.sop_instance_uid == item["00080018"]["Value"][0])
                assert (bulk.status, bulk.body) == (200, pixel_data(stored))
                assert bulk.header("content-type") == "application/octet-stream"
        assert (await running.get(f"{path_of(extra)}/metadata", bob.token)).status == 404
        by_link = await running.get(f"/link/{bob.token}{path_of(shared[0])}/metadata", None)
        assert by_link.json[0]["7FE00010"]["BulkDataURI"].startswith(f"{ROOT}/api/link/{bob.token}/studies/")

    service.run(use, store.new())


def test_frames_and_bulk_data_are_those_of_the_file(service: Service, store: RealStore, alice: Somebody) -> None:
    item = stored_object("rtdose.dcm")
    put(service, store, [item], alice)
    pixels = pixel_data(item)
    size = len(pixels) // int(item.dataset.NumberOfFrames)
    frames = [pixels[start : start + size] for start in range(0, len(pixels), size)]

    async def use(running: Running) -> None:
        async def get(path: str, **headers: str) -> Answer:
            return await running.get(path_of(item) + path, alice.token, headers=headers)

        two = await get("/frames/3,1", accept=FRAMES)
        assert [data for _, data in two.parts] == [frames[2], frames[0]]
        assert [head["content-type"].partition(";")[0] for head, _ in two.parts] == ["application/octet-stream"] * 2
        for accept in (FRAMES, "*/*", 'multipart/related; type="*/*"'):
            answer = await get("/frames/2", accept=accept)
            assert bodies(answer) == [frames[1]], accept
        single = await get("/frames/2", accept="application/octet-stream")
        assert (single.status, single.body) == (200, frames[1])
        assert (await get("/frames/99", accept=FRAMES)).status == 404
        (metadata,) = (await get("/metadata")).json
        bulk = metadata["7FE00010"]["BulkDataURI"].removeprefix(f"{ROOT}/api{path_of(item)}")
        assert (await get(bulk)).body == pixels
        assert (await get(bulk, accept='multipart/related; type="application/octet-stream"')).parts[0][1] == pixels
        part = await get(bulk, range="bytes=10-19")
        # A store may ignore a range; one that does not answers 206.
        assert (part.status, part.body) in {(206, pixels[10:20]), (200, pixels)}
        if part.status == 206:
            assert part.header("content-range") == f"bytes 10-19/{len(pixels)}"
        for malformed in ("bytes=0-1,3-4", "bytes=a-b", "octets=1-2"):
            assert (await get(bulk, range=malformed)).body == pixels
        for hostile in ("bulkdata/../../metadata", "bulkdata/%2e%2e/x", "bulkdata/7fe00010/nothing/there"):
            assert (await get(f"/{hostile}")).status == 404

    service.run(use, store.new())


def test_a_series_with_more_in_the_store_goes_instance_by_instance(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (items,) = study_of_series(4)
    confirmed, strange = items[:3], items[3]
    put(service, store, confirmed, alice)

    async def strangers(archive: Adapter) -> None:
        await archive.store([strange.held])

    store.run(strangers)
    uid = items[0].ref.series_instance_uid
    answer = service.get(path_of(items[0], "series"), alice.token, archive=store.new())
    assert bodies(answer) == expected(*confirmed)
    assert service.catalog.value("SELECT dirty FROM series WHERE series_instance_uid = :uid", uid=uid) is True
    assert service.get(path_of(strange), alice.token, archive=store.new()).status == 404

    # While it is being stored it is nobody's to read, and nothing is wrong with the series.
    service.catalog.execute("UPDATE series SET dirty = false")
    service.catalog.instance(uid, strange.ref.sop_instance_uid, state="reserved")
    answer = service.get(path_of(items[0], "study"), alice.token, archive=store.new())
    assert bodies(answer) == expected(*confirmed)
    assert service.catalog.value("SELECT dirty FROM series WHERE series_instance_uid = :uid", uid=uid) is False

    service.catalog.execute("UPDATE instances SET state = 'confirmed'")
    answer = service.get(path_of(items[0], "study"), alice.token, archive=store.new())
    assert bodies(answer) == expected(*items)


class Lagging:
    """A real store whose searches have not noticed yet what was stored last."""

    def __init__(self, archive: Adapter, found: frozenset[SopInstanceUID]) -> None:
        self._archive = archive
        self._found = found

    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        del ref
        return self._found

    def __getattr__(self, name: str) -> object:
        return getattr(self._archive, name)


def test_what_is_being_stored_is_held_back_even_where_searches_lag(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (items,) = study_of_series(3)
    put(service, store, items, alice)
    service.catalog.execute("UPDATE instances SET state = 'reserved' WHERE pk = (SELECT max(pk) FROM instances)")
    archive = Lagging(store.new(), frozenset(item.ref.sop_instance_uid for item in items[:2]))
    answer = service.get(path_of(items[0], "series"), alice.token, archive=archive)  # type: ignore[arg-type]
    assert bodies(answer) == expected(*items[:2])


def test_an_instance_that_the_store_lost_is_left_out_and_the_series_marked(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (items,) = study_of_series(2)
    put(service, store, items, alice)
    uid = items[0].ref.series_instance_uid
    service.catalog.instance(uid, "1.2.3.4.5")
    answer = service.get(path_of(items[0], "series"), alice.token, archive=store.new())
    assert bodies(answer) == expected(*items)
    assert service.catalog.value("SELECT dirty FROM series WHERE series_instance_uid = :uid", uid=uid) is True


def test_what_the_store_does_not_have_at_all_is_not_found(service: Service, store: RealStore, alice: Somebody) -> None:
    service.catalog.series(alice, study="1.2.3", series="1.2.3.4")

    async def use(running: Running) -> None:
        base = "/studies/1.2.3/series/1.2.3.4"
        for path in ("/studies/1.2.3", base, f"{base}/metadata", f"{base}/instances/1.2.3.4.1"):
            answer = await running.get(path, alice.token)
            assert (answer.status, b"1.2.3" in answer.body) == (404, False), path

    service.run(use, store.new())


ROUTES = [
    "/studies/{S}",
    "/studies/{S}?accept=*/*",
    "/studies/{S}/metadata",
    "/studies/{S}/series",
    "/studies/{S}/series?limit=1&includefield=all",
    "/studies/{S}/instances",
    "/studies/{S}/series/{R}",
    "/studies/{S}/series/{R}/metadata",
    "/studies/{S}/series/{R}/instances",
    "/studies/{S}/series/{R}/instances/{I}",
    "/studies/{S}/series/{R}/instances/{I}/metadata",
    "/studies/{S}/series/{R}/instances/{I}/frames/1",
    "/studies/{S}/series/{R}/instances/{I}/frames/1,2",
    "/studies/{S}/series/{R}/instances/{I}/bulkdata/7FE00010",
    "/studies/{S}/series/{R}/instances/{I}/bulk/7FE00010",
    *(
        f"{of}/{shown}"
        for shown in ("rendered", "thumbnail")
        for of in (
            "/studies/{S}",
            "/studies/{S}/series/{R}",
            "/studies/{S}/series/{R}/instances/{I}",
            "/studies/{S}/series/{R}/instances/{I}/frames/1",
        )
    ),
    "/wado?requestType=WADO&studyUID={S}&seriesUID={R}&objectUID={I}",
    "/wado?requestType=WADO&studyUID={S}&seriesUID={R}&objectUID={I}&contentType=application/dicom",
    "/studies?StudyInstanceUID={S}",
    "/series?SeriesInstanceUID={R}",
    "/instances?SOPInstanceUID={I}",
]


def test_hidden_is_absent_at_each_route(service: Service, store: RealStore, alice: Somebody, bob: Somebody) -> None:
    seen, hidden = study_of_series(1, 1)
    ((own,),) = study_of_series(1)
    album = service.catalog.album(bob, admins=(alice,))
    put(service, store, seen, alice, album)
    put(service, store, hidden, alice)
    put(service, store, [own], alice)
    token_of_album = service.catalog.token(alice.user, album=album)

    async def use(running: Running) -> None:
        for token in (bob.token, token_of_album, "x" * 22, None):
            for method in ("GET", "HEAD"):
                for route in ROUTES:
                    # A hidden series of a visible study, and a hidden study.
                    for item, absent in ((hidden[0], hidden[0].ref.study_instance_uid), (own, "2.25.1")):
                        if item is hidden[0] and "{R}" not in route:
                            continue
                        ref = item.ref
                        uids = {"S": ref.study_instance_uid, "R": ref.series_instance_uid, "I": ref.sop_instance_uid}
                        unused = {"S": absent, "R": "2.25.2", "I": "2.25.3"}
                        asked = await running.get(route.format(**uids), token, method=method)
                        never = await running.get(route.format(**unused), token, method=method)
                        assert asked.told == never.told, (token, method, route)
                        assert asked.status in ({200, 404} if token in (bob.token, token_of_album) else {401, 404})
                        assert asked.body in (b"[]", b"") or asked.status != 200
        # A visible series's UIDs below another study, and a hidden instance below a visible series.
        ref = seen[0].ref
        for crossed in (
            f"/studies/{own.ref.study_instance_uid}/series/{ref.series_instance_uid}",
            f"{path_of(seen[0], 'series')}/instances/{hidden[0].ref.sop_instance_uid}",
            f"{path_of(hidden[0], 'series')}/instances/{ref.sop_instance_uid}",
        ):
            assert (await running.get(crossed, bob.token)).status == 404
        assert (await running.get(path_of(seen[0]), bob.token)).status == 200

    service.run(use, store.new())


def test_head_is_get_without_the_body(service: Service, store: RealStore, alice: Somebody) -> None:
    (items,) = study_of_series(2)
    put(service, store, items, alice)

    def told(answer: Answer) -> tuple[int, list[tuple[str, str]]]:
        status, headers, _ = answer.told
        return status, [(name, value.partition("boundary=")[0]) for name, value in headers]

    async def use(running: Running) -> None:
        for level in ("study", "series", "instance"):
            for suffix in ("", "/metadata"):
                path = path_of(items[0], level) + suffix
                head = await running.get(path, alice.token, method="HEAD")
                assert told(head) == told(await running.get(path, alice.token)), path
                assert (head.body, head.complete) == (b"", True)

    service.run(use, store.new())


def test_reading_is_recorded_before_anything_goes_out(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    first, second = study_of_series(1, 1)
    put(service, store, first + second, alice)
    study = first[0].ref.study_instance_uid
    both = [first[0].ref.series_instance_uid, second[0].ref.series_instance_uid]

    async def use(running: Running) -> None:
        await running.get(path_of(first[0], "study"), alice.token)
        await running.get(path_of(first[0]), alice.token)
        await running.get(path_of(first[0]), alice.token)
        await running.get(f"{path_of(first[0], 'series')}/metadata", alice.token)
        await running.get(path_of(first[0]), bob.token)

    service.run(use, store.new())
    rows = service.catalog.rows(
        "SELECT sub, kind, outcome, study_instance_uids, series_instance_uids, sop_instance_uids, uses "
        "FROM audit ORDER BY pk"
    )
    instance = first[0].ref.sop_instance_uid
    assert rows == [
        ("alice", "read-pixels", "granted", [study], both, [], 1),
        ("alice", "read-pixels", "granted", [study], both[:1], [instance], 2),
        ("alice", "read-metadata", "granted", [study], both[:1], [], 1),
        ("bob", "read-pixels", "refused", [study], both[:1], [instance], 1),
    ]


def test_nothing_is_given_out_that_could_not_be_recorded(service: Service, store: RealStore, alice: Somebody) -> None:
    (items,) = study_of_series(1)
    put(service, store, items, alice)
    service.catalog.execute("ALTER TABLE audit ADD CONSTRAINT full_disk CHECK (kind = 'none') NOT VALID")

    async def use(running: Running) -> None:
        for path in ("/studies", path_of(items[0]), path_of(items[0], "study"), f"{path_of(items[0])}/metadata"):
            answer = await running.get(path, alice.token)
            assert answer.status == 500
            assert items[0].ref.sop_instance_uid.encode() not in answer.body

    service.run(use, store.new())


def test_sources_narrow_what_is_retrieved(service: Service, store: RealStore, alice: Somebody, bob: Somebody) -> None:
    first, second = study_of_series(1, 1)
    album = service.catalog.album(bob, admins=(alice,))
    foreign = service.catalog.album(bob)
    put(service, store, first, bob)
    put(service, store, second, album)
    path = path_of(first[0], "study")

    async def use(running: Running) -> None:
        assert bodies(await running.get(path, bob.token)) == expected(*first, *second)
        assert bodies(await running.get(f"{path}?inbox=true", bob.token)) == expected(*first)
        assert bodies(await running.get(f"{path}?album={album.id}", bob.token)) == expected(*second)
        answer = await running.get(f"{path}/metadata?album={album.id}", bob.token)
        assert len(answer.json) == 1
        assert (await running.get(f"{path_of(first[0])}?album={album.id}", bob.token)).status == 404
        assert (await running.get(f"{path}?album={album.id}&inbox=true", bob.token)).status == 400
        assert (await running.get(f"{path}?album={album.id}", alice.token)).status == 200
        hidden = await running.get(f"{path}?album={foreign.id}", alice.token)
        absent = await running.get(f"{path}?album=0123456789", alice.token)
        assert hidden.status == 404
        assert hidden.told == absent.told

    service.run(use, store.new())


def test_other_media_types_are_not_acceptable(service: Service, store: RealStore, alice: Somebody) -> None:
    (items,) = study_of_series(1)
    put(service, store, items, alice)
    for path, accept in (
        (path_of(items[0], "study"), "image/jpeg"),
        (path_of(items[0]), "text/html"),
        (f"{path_of(items[0])}/metadata", "application/dicom"),
        (f"{path_of(items[0])}/frames/1", "text/plain"),
    ):
        answer = service.get(path, alice.token, headers={"accept": accept}, archive=store.new())
        assert answer.status == 406
        assert "application/" in json.loads(answer.body)["detail"]


def test_a_compressed_object_keeps_its_transfer_syntax(service: Service, store: RealStore, alice: Somebody) -> None:
    item = stored_object("JPEG2000.dcm")
    put(service, store, [item], alice)
    for accept in ("*/*", "application/dicom", 'multipart/related; type="application/dicom"'):
        answer = service.get(path_of(item), alice.token, headers={"accept": accept}, archive=store.new())
        body = answer.body if accept == "application/dicom" else answer.parts[0][1]
        assert body == item.body
    data = pydicom.dcmread(io.BytesIO(item.body))
    assert data.file_meta.TransferSyntaxUID.is_compressed


def test_fifty_readers_at_once_all_get_their_bytes(service: Service, store: RealStore, alice: Somebody) -> None:
    (items,) = study_of_series(5)
    put(service, store, items, alice)

    async def use(running: Running) -> list[Answer]:
        return await asyncio.gather(*(running.get(path_of(item), alice.token) for item in items * 10))

    answers = service.run(use, store.new())
    assert [answer.parts[0][1] for answer in answers] == [item.body for item in items * 10]
