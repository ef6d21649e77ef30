"""WADO-URI over HTTP, before Orthanc and before the Healthcare emulator."""

import pytest

from kheops.dicomweb.rendering import RenderingName
from tests.contract.archive.objects import Stored, stored_object
from tests.contract.archive.real_stores import RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.client import Answer
from tests.service.read.conftest import Running, Service
from tests.service.read.shown import (
    PDF,
    SOFTCOPY_STATE,
    a_pdf,
    made,
    picture,
    put_known,
    uri_of,
)
from tests.service.read.test_retrieve import path_of


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


def test_wado_uri_gives_the_object_or_what_it_shows(service: Service, store: RealStore, alice: Somebody) -> None:
    item, frames = stored_object("CT_small.dcm"), stored_object("SC_rgb_rle_2frame.dcm")
    document, state = a_pdf(), made(SOFTCOPY_STATE)
    put_known(service, store, [item, frames, document, state], alice)

    async def use(running: Running) -> None:
        async def wado(of: Stored, accept: str = "*/*", **parameters: object) -> Answer:
            return await running.get(uri_of(of, **parameters), alice.token, headers={"accept": accept})

        assert picture(await wado(item)).size == (128, 128)
        assert picture(await wado(item, contentType="image/png"), "image/png").format == "PNG"
        assert picture(await wado(item, contentType="image/gif,image/png"), "image/png").format == "PNG"
        assert picture(await wado(item, "application/dicom", contentType="image/jpeg")).format == "JPEG"
        for whole in (
            await wado(item, contentType="application/dicom"),
            await wado(item, contentType="application%2Fdicom", rows=9),
            await wado(item, contentType="image/gif,application/dicom;q=0.5"),
            await wado(item, "application/dicom"),
            await wado(item, transferSyntax="1.2.840.10008.1.2.1"),
        ):
            assert (whole.status, whole.body) == (200, item.body)
            assert str(whole.header("content-type")).startswith("application/dicom")
            assert whole.header("cache-control") == "private, no-cache"
        assert picture(await wado(item, rows=64)).size == (64, 64)
        assert picture(await wado(item, columns=32, rows=100)).size == (32, 32)
        second = await wado(frames, frameNumber=2, contentType="image/png")
        by_path = await running.get(f"{path_of(frames)}/frames/2/rendered?accept=image/png", alice.token)
        assert second.body == by_path.body
        assert (await wado(frames, frameNumber=3)).status == 404
        assert (await wado(document, contentType="application/pdf")).body.rstrip(b"\0") == PDF
        # Nothing to show, and the object itself would do.
        assert (await wado(state)).body == state.body
        assert (await wado(state, contentType="image/jpeg")).status == 406
        refused = await wado(item, contentType="text/html")
        assert (refused.status, refused.json["message"]) == (406, "Not Acceptable")
        window = await wado(item, windowCenter=40, windowWidth=80)
        assert window.status == 200
        assert (window.header("warning") is None) is (RenderingName.WINDOW in store.new().renders)
        linked = await running.get(f"/link/{alice.token}{uri_of(item)}", None)
        assert picture(linked).size == (128, 128)
        head = await running.get(uri_of(item), alice.token, method="HEAD")
        assert (head.status, head.body) == (200, b"")

    service.run(use, store.new())


def test_wado_uri_wants_each_parameter_once_and_right(service: Service, alice: Somebody) -> None:
    item = stored_object("CT_small.dcm")
    uri = uri_of(item)

    async def use(running: Running) -> None:
        for bad in (
            "/wado",
            *(uri_of(item, **{name: None}) for name in ("requestType", "studyUID", "seriesUID", "objectUID")),
            *(uri_of(item, **{name: ""}) for name in ("requestType", "studyUID", "seriesUID", "objectUID")),
            f"{uri}&requestType=WADO",
            f"{uri}&studyUID={item.ref.study_instance_uid}",
            f"{uri}&seriesUID=1.2",
            f"{uri}&objectUID=1.2",
            uri_of(item, requestType="wado"),
            uri_of(item, studyUID="*"),
            uri_of(item, objectUID="1.2%2F.."),
            f"{uri}&frameNumber=0",
            f"{uri}&frameNumber=x",
            f"{uri}&frameNumber=1&contentType=application/dicom",
            f"{uri}&rows=0",
            f"{uri}&columns=10001",
            f"{uri}&windowCenter=1",
            f"{uri}&windowCenter=x&windowWidth=2",
            f"{uri}&imageQuality=101",
            f"{uri}&transferSyntax=x",
            f"{uri}&anonymize=yes",
            f"{uri}&presentationUID=1.2",
            f"{uri}&region=0,0,1,1",
            f"{uri}&inbox=true&album=0123456789",
        ):
            assert (await running.get(bad, alice.token)).status == 400, bad
            assert (await running.get(bad, None)).status == 401
        assert (await running.get(f"{uri}&contentType=image", alice.token)).status == 406
        for method in ("POST", "PUT", "DELETE"):
            refused = await running.get(uri, alice.token, method=method)
            assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")

    service.run(use)


def test_wado_uri_answers_for_hidden_as_for_absent_and_records_it(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    item, unused = stored_object("CT_small.dcm"), stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        for parameters in ({}, {"contentType": "application/dicom"}, {"contentType": "text/html"}, {"frameNumber": 9}):
            hidden = await running.get(uri_of(item, **parameters), bob.token)
            assert hidden.status == (406 if "text/html" in parameters.values() else 404)
            assert hidden.told == (await running.get(uri_of(unused, **parameters), bob.token)).told
        elsewhere = uri_of(item, seriesUID=unused.ref.series_instance_uid)
        assert (await running.get(elsewhere, alice.token)).status == 404
        assert (await running.get(uri_of(item, inbox="true"), alice.token)).status == 200
        album = service.catalog.album(alice)
        assert (await running.get(uri_of(item, album=album.id), alice.token)).status == 404

    service.run(use, store.new())
    rows = service.catalog.rows(
        "SELECT DISTINCT kind, outcome FROM audit WHERE :uid = ANY(sop_instance_uids) ORDER BY outcome",
        uid=item.ref.sop_instance_uid,
    )
    assert rows == [("read-pixels", "granted"), ("read-pixels", "refused")]
