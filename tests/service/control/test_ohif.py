"""The OHIF helpers."""

import re
from collections.abc import Awaitable, Callable, Iterator

import pytest

from kheops.ids import SeriesInstanceUID, StudyInstanceUID
from kheops.services.sharing import Selection
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import inbox, known, viewer_of
from tests.service.control.served import KEY, PUBLIC_URL, Served, environment, serve
from tests.service.control.world import World

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    return lambda body: serve(world, issuer, body)


def with_instances(world: World, series: Selection, *uids: str, number: int) -> None:
    world.execute(
        "UPDATE series SET number_of_instances = :count, series_number = :number, patient_name = 'Doe^Jane=X=Y', "
        "series_description = 'S' || :number WHERE series_instance_uid = :uid",
        count=len(uids),
        number=str(number),
        uid=series.series,
    )
    for position, uid in enumerate(uids, 1):
        world.execute(
            "INSERT INTO instances (series_pk, sop_instance_uid, state, created_at, instance_number, rows, columns) "
            "SELECT pk, :instance, 'confirmed', now(), :position, '4', '8' FROM series "
            "WHERE series_instance_uid = :uid",
            instance=uid,
            position=str(position),
            uid=series.series,
        )


def test_ohif_reads_the_visible_part_of_a_study(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        world = served.world
        second = world.series(inbox(served, "alice"))
        first = world.series(inbox(served, "alice"), study=second.study)
        hidden = world.series(inbox(served, "bob"), study=second.study)
        with_instances(world, second, "1.5.1", "1.5.2", number=10)
        with_instances(world, first, "1.6.1", number=9)
        with_instances(world, hidden, "1.7.1", number=1)
        token = await viewer_of(served, served.token("alice"), second.study)
        path = f"/studies/{second.study}/ohifmetadata"
        answer = await served.call("GET", f"/api{path}", token=token)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-cache")
        assert answer.headers["content-type"] == "application/json"

        def instance(series: Selection, uid: str, root: str) -> dict[str, object]:
            named = f"studyUID={series.study}&seriesUID={series.series}&objectUID={uid}"
            address = f"{root}/wado?requestType=WADO&{named}&contentType=application/dicom"
            return {"sopInstanceUid": uid, "rows": 4, "columns": 8, "url": f"wadouri:{address}"}

        root = f"{PUBLIC_URL}/api"
        nine = {
            "seriesInstanceUid": first.series,
            "seriesDescription": "S9",
            "instances": [instance(first, "1.6.1", root)],
        }
        ten = {
            "seriesInstanceUid": second.series,
            "seriesDescription": "S10",
            "instances": [instance(second, uid, root) for uid in ("1.5.1", "1.5.2")],
        }
        study = {"studyInstanceUID": second.study, "studyInstanceUid": second.study, "patientName": "Doe^Jane"}
        assert answer.json() == {"studies": [{**study, "seriesList": [nine, ten]}]}
        ordered = await served.call("GET", f"/api{path}?firstseries={second.series}&inbox=true", token=token)
        assert ordered.json() == {"studies": [{**study, "seriesList": [ten, nine]}]}
        for uid in (hidden.series, SeriesInstanceUID("1.9.9")):
            same = await served.call("GET", f"/api{path}?firstseries={uid}", token=token)
            assert same.content == answer.content
        linked = await served.call("GET", f"/api/link/{token}{path}")
        addresses = re.findall(r"wadouri:([^?]+)\?requestType=WADO&[^\"]*contentType=application/dicom\"", linked.text)
        assert len(addresses) == 3
        assert all(address == f"{PUBLIC_URL}/api/link/{token}/wado" for address in addresses)

    run(body)


def test_ohif_is_refused_as_every_reader_is(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        hidden = served.world.series(inbox(served, "alice"))
        with_instances(served.world, hidden, "1.8.1", number=1)
        answers = [
            await served.call("GET", f"/api/studies/{study}/ohifmetadata", by="bob")
            for study in (hidden.study, StudyInstanceUID("1.9.9"))
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        path = f"/api/studies/{hidden.study}/ohifmetadata"
        assert (await served.call("GET", path)).status_code == 401
        assert (await served.call("POST", path, by="alice")).status_code == 405
        writer = await viewer_of(served, served.token("alice"), hidden.study, scope="viewer write")
        assert (await served.call("GET", path, token=writer)).status_code == 403
        for query in ("firstseries=x", "firstseries=1.2&firstseries=1.3", "inbox=perhaps", "limit=1"):
            assert (await served.call("GET", f"{path}?{query}", by="alice")).status_code == 400
        assert (await served.call("GET", f"{path}?album=absent0000", by="alice")).status_code == 404

    run(body)


def test_ohif_is_told_where_we_are(run: Run) -> None:
    async def body(served: Served) -> None:
        token = await viewer_of(served, served.token("alice"), "1.2.3")
        by_header = await served.call("GET", "/api/ohifservermetadata", token=token)
        [server] = by_header.json()["servers"]["dicomWeb"]
        assert server == {
            "name": "KHEOPS",
            "qidoRoot": f"{PUBLIC_URL}/api",
            "wadoRoot": f"{PUBLIC_URL}/api",
            "qidoSupportsIncludeField": True,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "staticWado": True,
            "bulkDataURI": {"enabled": True},
        }
        assert token not in by_header.text
        by_link = await served.call("GET", f"/api/link/{token}/ohifservermetadata")
        [server] = by_link.json()["servers"]["dicomWeb"]
        assert server["qidoRoot"] == server["wadoRoot"] == f"{PUBLIC_URL}/api/link/{token}"
        assert by_link.headers["cache-control"] == "no-store"
        assert (await served.call("GET", "/api/ohifservermetadata")).status_code == 401
        assert (await served.call("GET", "/api/ohifservermetadata?x=1", token=token)).status_code == 400

    run(body)
