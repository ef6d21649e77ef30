"""Downloads over HTTP, on a real PostgreSQL, before Orthanc and before the Healthcare emulator."""

import asyncio
import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet
from sqlalchemy import Connection

from kheops.domain.policy import ReadScope
from kheops.domain.resources import SeriesFacts, SeriesRef
from kheops.storage import catalog_contents
from tests.contract.archive.objects import Stored, stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.client import Answer
from tests.service.read.conftest import Running, Service
from tests.service.read.test_retrieve import path_of, put

ZIP = {"accept": "application/zip"}


def downloader(service: Service, sub: str) -> Somebody:
    """Return a person with a token that reads and downloads."""
    person = service.catalog.person(sub)
    return replace(person, token=service.catalog.token(person.user, download=True))


@pytest.fixture
def alice(service: Service) -> Somebody:
    return downloader(service, "alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return downloader(service, "bob")


def files(answer: Answer) -> list[bytes]:
    """Return the objects of an archive, which Python's reader has found whole, by content."""
    assert answer.status == 200, answer.body
    assert answer.header("content-type") == "application/zip"
    assert answer.header("content-disposition") == 'attachment; filename="DICOM.ZIP"'
    assert answer.header("cache-control") == "private, no-cache"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as read:
        assert read.testzip() is None
        names = read.namelist()
        assert names[-1] == "DICOMDIR"
        assert names.count("DICOMDIR") == 1
        return sorted(read.read(name) for name in names[:-1])


def directory(answer: Answer, folder: Path) -> FileSet:
    with zipfile.ZipFile(io.BytesIO(answer.body)) as read:
        read.extractall(folder)
    opened = FileSet()
    opened._stage["t"].cleanup()
    opened.load(folder / "DICOMDIR")
    opened._stage["t"].cleanup()
    return opened


def expected(*items: Stored) -> list[bytes]:
    return sorted(item.body for item in items)


def with_digests(service: Service, *items: Stored) -> None:
    """Put on record what a store through us leaves there."""
    for item in items:
        read = pydicom.dcmread(io.BytesIO(item.body), stop_before_pixels=True)
        service.catalog.execute(
            "UPDATE instances SET size = :size, crc32 = :crc32, sop_class_uid = :sop_class, "
            "transfer_syntax_uid = :syntax WHERE sop_instance_uid = :uid",
            size=len(item.body),
            crc32=zlib.crc32(item.body),
            sop_class=str(read.SOPClassUID),
            syntax=str(read.file_meta.TransferSyntaxUID),
            uid=item.ref.sop_instance_uid,
        )


def test_a_study_comes_byte_for_byte_with_what_the_caller_may_download_and_nothing_else(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody, tmp_path: Path
) -> None:
    shared, second, hidden = study_of_series(3, 1, 2)
    album = service.catalog.album(bob, admins=(alice,), download_series=True)
    looking = service.catalog.album(bob, admins=(alice,))
    put(service, store, shared, alice, album)
    put(service, store, second, alice, looking)
    put(service, store, hidden, alice)
    with_digests(service, *shared, *second, *hidden)

    async def use(running: Running) -> None:
        study = path_of(shared[0], "study")
        hers = await running.get(study, alice.token, headers=ZIP)
        assert files(hers) == expected(*shared, *second, *hidden)
        his = await running.get(study, bob.token, headers=ZIP)
        assert files(his) == expected(*shared)
        opened = directory(his, tmp_path)
        assert sorted(opened.find_values("SOPInstanceUID")) == sorted(item.ref.sop_instance_uid for item in shared)
        by_parameter = await running.get(f"{study}?accept=application/zip", bob.token)
        assert files(by_parameter) == expected(*shared)
        series = await running.get(path_of(hidden[0], "series"), alice.token, headers=ZIP)
        assert files(series) == expected(*hidden)
        # What he may look at and not take away answers as what is not there.
        refused = await running.get(path_of(second[0], "series"), bob.token, headers=ZIP)
        unknown = await running.get(f"{study}/series/1.2.3.4.5", bob.token, headers=ZIP)
        assert (refused.status, refused.told) == (404, unknown.told)
        assert (await running.get(path_of(second[0], "series"), bob.token)).status == 200

    service.run(use, store.new())


def test_chosen_series_come_alone(service: Service, store: RealStore, alice: Somebody) -> None:
    first, second, third = study_of_series(1, 1, 1)
    put(service, store, [*first, *second, *third], alice)

    async def use(running: Running) -> None:
        study = path_of(first[0], "study")
        uids = f"{first[0].ref.series_instance_uid},{third[0].ref.series_instance_uid}"
        answer = await running.get(f"{study}?SeriesInstanceUID={uids}", alice.token, headers=ZIP)
        # Nothing is on record of these but their UIDs: they are deflated, and the same bytes.
        assert files(answer) == expected(*first, *third)
        nothing = await running.get(f"{study}?SeriesInstanceUID=1.2.3", alice.token, headers=ZIP)
        assert nothing.status == 404
        other = f"{path_of(first[0], 'series')}?SeriesInstanceUID={third[0].ref.series_instance_uid}"
        assert (await running.get(other, alice.token, headers=ZIP)).status == 404

    service.run(use, store.new())


def test_an_album_and_the_inbox_come_whole(service: Service, store: RealStore, alice: Somebody, bob: Somebody) -> None:
    (one,) = study_of_series(2)
    (other,) = study_of_series(1)
    (own,) = study_of_series(1)
    album = service.catalog.album(bob, admins=(alice,), download_series=True)
    put(service, store, one + other, album)
    put(service, store, own, bob)

    async def use(running: Running) -> None:
        whole = await running.get(f"/studies?album={album.id}", bob.token, headers=ZIP)
        assert files(whole) == expected(*one, *other)
        assert files(await running.get("/studies?inbox=true", bob.token, headers=ZIP)) == expected(*own)
        assert (await running.get("/studies?inbox=true", alice.token, headers=ZIP)).status == 404
        for query in ("", "?PatientID=1&inbox=true", "?inbox=true&SeriesInstanceUID=abc", "?inbox=true&limit=1"):
            assert (await running.get(f"/studies{query}", bob.token, headers=ZIP)).status == 400, query
        searched = await running.get("/studies?inbox=true", bob.token, headers={"accept": "*/*"})
        assert searched.header("content-type") == "application/dicom+json"

    service.run(use, store.new())


def test_a_role_without_downloading_is_told_so_before_anything_is_looked_up(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    (held,) = study_of_series(1)
    album = service.catalog.album(bob, admins=(alice,))
    put(service, store, held, album)

    async def use(running: Running) -> None:
        for path in (path_of(held[0], "study"), "/studies/1.2.3"):
            answer = await running.get(f"{path}?album={album.id}", bob.token, headers=ZIP)
            assert answer.status == 403, path
        assert (await running.get(path_of(held[0], "study"), bob.token, headers=ZIP)).status == 404
        assert files(await running.get(f"/studies?album={album.id}", alice.token, headers=ZIP)) == expected(*held)

    service.run(use, store.new())


def test_a_token_that_only_looks_is_refused_alike_for_what_is_there_and_what_is_not(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(1)
    put(service, store, held, alice)
    looking = service.catalog.token(alice.user)

    async def use(running: Running) -> None:
        refused = await running.get(path_of(held[0], "study"), looking, headers=ZIP)
        unknown = await running.get("/studies/1.2.3", looking, headers=ZIP)
        assert (refused.status, refused.told) == (403, unknown.told)
        assert (await running.get("/studies?inbox=true", looking, headers=ZIP)).status == 403
        assert (await running.get(path_of(held[0], "study"), looking)).status == 200

    service.run(use, store.new())


def test_a_download_is_recorded_with_what_it_holds(service: Service, store: RealStore, alice: Somebody) -> None:
    first, second = study_of_series(1, 1)
    put(service, store, [*first, *second], alice)

    async def use(running: Running) -> None:
        files(await running.get(path_of(first[0], "study"), alice.token, headers=ZIP))

    service.run(use, store.new())
    rows = service.catalog.rows("SELECT outcome, series_instance_uids FROM audit WHERE kind = 'export'")
    assert [outcome for outcome, _ in rows] == ["granted"]
    assert sorted(rows[0][1]) == sorted(each[0].ref.series_instance_uid for each in (first, second))


def test_what_differs_from_the_record_is_cut_and_what_the_store_lost_is_left_out(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(2)
    put(service, store, held, alice)
    with_digests(service, *held)
    lost = stored_object("MR_small.dcm", study="1.2.3", series="1.2.3.1")
    service.catalog.series(alice, study="1.2.3", series="1.2.3.1", instances=(lost.ref.sop_instance_uid,))

    async def use(running: Running) -> None:
        assert (await running.get("/studies/1.2.3", alice.token, headers=ZIP)).status == 404
        answer = await running.get(path_of(held[0], "study"), alice.token, headers=ZIP)
        files(answer)
        service.catalog.execute(
            "UPDATE instances SET crc32 = 1 WHERE sop_instance_uid = :uid", uid=held[1].ref.sop_instance_uid
        )
        cut = await running.get(path_of(held[0], "study"), alice.token, headers=ZIP)
        assert (cut.status, cut.complete) == (200, False)
        assert not zipfile.is_zipfile(io.BytesIO(cut.body))

    service.run(use, store.new())
    assert len(service.catalog.rows("SELECT 1 FROM series WHERE dirty")) == 2


def test_a_viewer_token_downloads_as_far_as_its_parent_does(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(1)
    put(service, store, held, alice)
    study = held[0].ref.study_instance_uid
    looking = service.catalog.token(alice.user)

    async def use(running: Running) -> None:
        path = path_of(held[0], "study")
        by_viewer = service.catalog.viewer(alice.token, study)
        assert files(await running.get(path, by_viewer, headers=ZIP)) == expected(*held)
        only_looking = service.catalog.viewer(looking, study)
        assert (await running.get(path, only_looking)).status == 200
        refused = await running.get(path, only_looking, headers=ZIP)
        unknown = await running.get("/studies/1.2.3.4.5", only_looking, headers=ZIP)
        assert (refused.status, refused.told) == (403, unknown.told)
        service.catalog.execute("UPDATE capabilities SET download_permission = false")
        assert (await running.get(path, by_viewer, headers=ZIP)).status == 403

    service.run(use, store.new())


@pytest.mark.parametrize("withdraw", ["grant", "album's permission"])
def test_what_is_withdrawn_while_an_archive_is_on_its_way_cuts_it(  # noqa: PLR0917 - fixtures
    service: Service, store: RealStore, alice: Somebody, bob: Somebody, monkeypatch: pytest.MonkeyPatch, withdraw: str
) -> None:
    first, second = study_of_series(8, 8)
    album = service.catalog.album(bob, admins=(alice,), download_series=True)
    put(service, store, first, album)
    put(service, store, second, album)
    asked: list[SeriesRef] = []

    def reach(tx: Connection, scope: ReadScope, ref: SeriesRef) -> SeriesFacts | None:
        asked.append(ref)
        if len(asked) == 2:
            service.catalog.execute(
                "DELETE FROM album_members WHERE NOT is_admin"
                if withdraw == "grant"
                else "UPDATE albums SET download_series = false"
            )
        return original(tx, scope, ref)

    original = catalog_contents.reach_of_series
    monkeypatch.setattr(catalog_contents, "reach_of_series", reach)

    async def use(running: Running) -> None:
        cut = await running.get(path_of(first[0], "study"), bob.token, headers=ZIP)
        assert (cut.status, cut.complete) == (200, False)
        assert not zipfile.is_zipfile(io.BytesIO(cut.body))
        assert len(asked) == 2, "asked anew for each series"

    service.run(use, store.new())


def test_a_client_that_leaves_takes_the_stores_connections_with_it(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(12)
    put(service, store, held, alice)

    async def use(running: Running) -> None:
        left = await running.get(path_of(held[0], "study"), alice.token, headers=ZIP, leave_after=1)
        assert not left.complete
        tasks = {task.get_name() for task in asyncio.all_tasks()}
        assert "open-for-zip" not in tasks
        files(await running.get(path_of(held[0], "study"), alice.token, headers=ZIP))

    service.run(use, store.new())
