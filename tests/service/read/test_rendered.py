"""Rendered resources and thumbnails over HTTP, before Orthanc and before the Healthcare emulator."""

import io
from typing import Any

import pytest
from PIL import Image
from typing_extensions import override

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.rendering import RenderingName
from tests.contract.archive.objects import new_uid, stored_object
from tests.contract.archive.real_stores import Adapter, RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.client import Answer
from tests.service.read.conftest import Running, Service
from tests.service.read.shown import (
    KEY_OBJECTS,
    NOTHING,
    PDF,
    REPORT,
    SOFTCOPY_STATE,
    VIDEO,
    a_pdf,
    a_video,
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


# Images ----------------------------------------------------------------------------------------------------------


def test_an_image_is_rendered_at_each_level_and_in_each_type(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    item = stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        for path in (
            path_of(item, "study"),
            path_of(item, "series"),
            path_of(item),
            f"{path_of(item)}/frames/1",
        ):
            for media_type, file_format in (("image/jpeg", "JPEG"), ("image/png", "PNG")):
                answer = await running.get(f"{path}/rendered", alice.token, headers={"accept": media_type})
                image = picture(answer, media_type)
                assert (image.format, image.size) == (file_format, (128, 128)), path
                assert store.root.split("/")[2].encode() not in answer.body
            by_default = await running.get(f"{path}/rendered", alice.token)
            assert picture(by_default).format == "JPEG"
            by_parameter = await running.get(f"{path}/rendered?accept=image/png", alice.token)
            assert picture(by_parameter, "image/png").format == "PNG"
            head = await running.get(f"{path}/rendered", alice.token, method="HEAD")
            assert (head.status, head.header("content-type"), head.body) == (200, "image/jpeg", b"")
            refused = await running.get(f"{path}/rendered", alice.token, headers={"accept": "image/gif, text/html"})
            assert refused.status == 406
            assert refused.json["detail"] == "Available media types: image/jpeg, image/png"

    service.run(use, store.new())


def test_thumbnails_are_small_jpegs_without_margins(service: Service, store: RealStore, alice: Somebody) -> None:
    item = stored_object("rtdose.dcm") if store.name == "emulator" else stored_object("MR_small.dcm")
    size = (10, 10) if store.name == "emulator" else (64, 64)
    wide = stored_object("examples_rgb_color.dcm")
    put_known(service, store, [item, wide], alice)
    wide_size = (int(wide.dataset.Columns), int(wide.dataset.Rows))

    async def use(running: Running) -> None:
        for level in ("study", "series", "instance"):
            answer = await running.get(f"{path_of(item, level)}/thumbnail", alice.token)
            assert picture(answer).size == size, level
            assert len(answer.body) < 16 * 1024
        for query, most in (("", 128), ("?viewport=32,200", 32), ("?viewport=5000,5000", 512)):
            image = picture(await running.get(f"{path_of(wide)}/thumbnail{query}", alice.token))
            assert max(image.size) == min(most, max(wide_size))
            assert abs(image.width / image.height - wide_size[0] / wide_size[1]) < 0.1
        refused = await running.get(f"{path_of(item)}/thumbnail", alice.token, headers={"accept": "image/png"})
        assert (refused.status, refused.json["detail"]) == (406, "Available media types: image/jpeg")
        for query in ("viewport=0,1", "viewport=1", "viewport=a,b", "viewport=9,9&viewport=9,9", "viewport=10001,1"):
            assert (await running.get(f"{path_of(item)}/thumbnail?{query}", alice.token)).status == 400, query

    service.run(use, store.new())


def test_frames_are_rendered_apart_and_lists_as_parts(service: Service, store: RealStore, alice: Somebody) -> None:
    item = stored_object("SC_rgb_rle_2frame.dcm")
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        one, two = [
            (await running.get(f"{path_of(item)}/frames/{number}/rendered?accept=image/png", alice.token)).body
            for number in (1, 2)
        ]
        assert Image.open(io.BytesIO(one)).tobytes() != Image.open(io.BytesIO(two)).tobytes()
        first = await running.get(f"{path_of(item)}/rendered?accept=image/png", alice.token)
        assert first.body == one
        several = await running.get(
            f"{path_of(item)}/frames/2,1/rendered",
            alice.token,
            headers={"accept": 'multipart/related; type="image/png"'},
        )
        assert [(head["content-type"], data) for head, data in several.parts] == [
            ("image/png", two),
            ("image/png", one),
        ]
        alone = await running.get(f"{path_of(item)}/frames/2,1/rendered", alice.token, headers={"accept": "image/png"})
        assert alone.status == 406
        for kind in ("rendered", "thumbnail"):
            for frames in ("3", "1,3") if kind == "rendered" else ("3",):
                assert (await running.get(f"{path_of(item)}/frames/{frames}/{kind}", alice.token)).status == 404

    service.run(use, store.new())


def test_parameters_shape_the_picture_or_are_named_as_not_applied(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    item = stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)
    known = store.new().renders

    async def use(running: Running) -> None:
        async def rendered(query: str) -> Answer:
            return await running.get(f"{path_of(item)}/rendered?{query}", alice.token)

        assert picture(await rendered("viewport=60,400")).size == (60, 60)
        assert picture(await rendered("viewport=200,300")).size == (200, 200)
        assert picture(await rendered("viewport=64,64,0,0,64,32")).size == (64, 32)
        assert (await rendered("viewport=64,64,100,100,64,64")).status == 400
        plain = await rendered("")
        for query, name in (("window=40,80,linear", RenderingName.WINDOW), ("quality=5", RenderingName.QUALITY)):
            answer = await rendered(query)
            assert (answer.body != plain.body) is (name in known)
            assert answer.header("warning") == (None if name in known else f'299 kheops "Not applied: {name}"')
        answer = await rendered("annotation=patient,technique&iccprofile=srgb")
        assert answer.header("warning") == '299 kheops "Not applied: annotation, iccprofile"'
        assert answer.body == plain.body
        for bad in (
            "viewport=64,64,-1,0,10,10",
            "viewport=64",
            "window=1,0,linear",
            "window=a,b,linear",
            "window=1,2,cubic",
            "quality=0",
            "quality=101",
            "annotation=all",
            "iccprofile=x",
            "quality=5&quality=6",
        ):
            assert (await rendered(bad)).status == 400, bad

    service.run(use, store.new())


class _Unscaling:
    """An archive whose store knows no parameter of rendering, as some do; the store itself is real."""

    renders: frozenset[RenderingName] = frozenset()

    def __init__(self, inner: Adapter) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open_rendered(self, *args: Any, parameters: Any, **named: Any) -> ArchiveStream:
        from kheops.dicomweb.rendering import RenderingParameters

        return await self._inner.open_rendered(*args, parameters=RenderingParameters(), **named)


def test_what_the_store_cannot_scale_is_scaled_here(service: Service, store: RealStore, alice: Somebody) -> None:
    item = stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        async def size(query: str, kind: str = "rendered") -> tuple[int, int]:
            return picture(await running.get(f"{path_of(item)}/{kind}?{query}", alice.token)).size

        assert await size("viewport=60,400") == (60, 60)
        assert await size("viewport=300,200") == (200, 200)
        assert await size("viewport=64,64,0,0,64,32") == (64, 32)
        assert await size("viewport=40,40,0,0,64,32", "thumbnail") == (40, 20)
        outside = await running.get(f"{path_of(item)}/rendered?viewport=64,64,100,100,64,64", alice.token)
        assert outside.status == 400
        answer = await running.get(f"{path_of(item)}/rendered?viewport=9,9&quality=5", alice.token)
        assert answer.header("warning") == '299 kheops "Not applied: quality"'

    service.run(use, _Unscaling(store.new()))


@pytest.mark.parametrize(("name", "most"), [("_MOST_PIXELS", 128 * 128 - 1), ("_MOST_BYTES", 1000)])
def test_a_picture_that_is_too_large_to_be_decoded_is_refused(
    service: Service, store: RealStore, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    alice = service.catalog.person("alice")
    item = stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)
    monkeypatch.setattr(f"kheops.services.pictures.{name}", most)
    archive: Any = _Unscaling(store.new())
    assert service.get(f"{path_of(item)}/thumbnail", alice.token, archive=archive).status == 406


# What stands for more than one object ---------------------------------------------------------------------------


def test_the_middle_of_the_first_visible_series_of_images_stands_for_a_study(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    study = new_uid()
    hidden = [stored_object("MR_small.dcm", study=study)]
    series = new_uid()
    shown = [stored_object("CT_small.dcm", study=study, series=series) for _ in range(5)]
    later = [stored_object("SC_rgb_rle_2frame.dcm", study=study)]
    state = made(SOFTCOPY_STATE, study=study)
    album = service.catalog.album(bob, admins=(alice,))
    put_known(service, store, hidden, alice)
    put_known(service, store, [state], alice, album)
    put_known(service, store, later, alice, album)
    put_known(service, store, shown, alice, album)
    for items, number in ((hidden, 1), ([state], 2), (shown, 3), (later, 10)):
        service.catalog.execute(
            "UPDATE series SET series_number = :number WHERE series_instance_uid = :uid",
            number=str(number),
            uid=items[0].ref.series_instance_uid,
        )

    middle = shown[2].ref.sop_instance_uid  # by Instance Number

    async def use(running: Running) -> None:
        pictures = {}
        for kind in ("rendered", "thumbnail"):
            hers = await running.get(f"{path_of(shown[0], 'study')}/{kind}", alice.token)
            assert hers.body == (await running.get(f"{path_of(hidden[0])}/{kind}", alice.token)).body
            pictures[kind] = await running.get(f"{path_of(shown[0], 'study')}/{kind}", bob.token)
            assert pictures[kind].body != hers.body
        recorded = service.catalog.rows(
            "SELECT DISTINCT series_instance_uids, sop_instance_uids FROM audit "
            "WHERE sub = 'bob' AND kind = 'read-pixels' AND outcome = 'granted'"
        )
        assert recorded == [([series], [middle])]
        for kind, his in pictures.items():
            assert his.body == (await running.get(f"{path_of(shown[2])}/{kind}", bob.token)).body

    service.run(use, store.new())


def test_hidden_absent_and_foreign_are_alike_and_recorded(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    item = stored_object("CT_small.dcm")
    unused = stored_object("CT_small.dcm")
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        for below in ("/rendered", "/thumbnail", "/rendered?accept=text/html", "/rendered?viewport=9,9"):
            for level in ("study", "series", "instance"):
                hidden = await running.get(path_of(item, level) + below, bob.token)
                assert hidden.status == 404
                assert hidden.told == (await running.get(path_of(unused, level) + below, bob.token)).told
            hidden = await running.get(f"{path_of(item)}/frames/9{below}", bob.token)
            assert hidden.told == (await running.get(f"{path_of(unused)}/frames/9{below}", bob.token)).told
            assert (await running.get(path_of(item) + below, None)).status == 401
        album = service.catalog.album(alice)
        assert (await running.get(f"{path_of(item)}/rendered?album={album.id}", alice.token)).status == 404
        writer = service.catalog.token(alice.user, read=False, write=True)
        assert (await running.get(f"{path_of(item)}/rendered", writer)).status == 403
        assert (await running.get(f"{path_of(item)}/thumbnail", writer)).status == 403

    service.run(use, store.new())
    kinds = service.catalog.rows("SELECT DISTINCT kind FROM audit WHERE outcome = 'refused'")
    assert kinds == [("read-pixels",)]


@pytest.mark.parametrize("sop_class", [SOFTCOPY_STATE, KEY_OBJECTS, REPORT, "1.2.3.4", "1.2.840.10008.5.1.4.1.1.66.4"])
def test_what_may_show_images_of_others_is_never_asked_of_the_store(
    service: Service, store: RealStore, alice: Somebody, sop_class: str
) -> None:
    item = made(sop_class)
    put_known(service, store, [item], alice)

    class Watched(_Unscaling):
        @override
        async def open_rendered(self, *args: Any, **named: Any) -> ArchiveStream:
            raise AssertionError("the store was asked")

    async def use(running: Running) -> None:
        for level in ("study", "series", "instance"):
            for kind in ("rendered", "thumbnail"):
                answer = await running.get(f"{path_of(item, level)}/{kind}", alice.token)
                assert (answer.status, answer.json["detail"]) == (406, NOTHING), (level, kind)

    service.run(use, Watched(store.new()))


# Documents and videos -----------------------------------------------------------------------------------------------


def test_a_document_is_given_as_it_is_and_to_a_browser_as_a_file(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    item = a_pdf()
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        for level in ("study", "series", "instance"):
            answer = await running.get(f"{path_of(item, level)}/rendered", alice.token)
            assert (answer.status, answer.header("content-type")) == (200, "application/pdf")
            assert answer.header("content-disposition") == "attachment"
            assert answer.header("content-length") == str(len(answer.body))
            assert answer.body.rstrip(b"\0") == PDF
        refused = await running.get(f"{path_of(item)}/rendered", alice.token, headers={"accept": "image/jpeg"})
        assert (refused.status, refused.json["detail"]) == (406, "Available media types: application/pdf")
        for path in (f"{path_of(item)}/thumbnail", f"{path_of(item)}/frames/1/rendered"):
            assert (await running.get(path, alice.token)).status == 406
        head = await running.get(f"{path_of(item)}/rendered", alice.token, method="HEAD")
        assert (head.status, head.body) == (200, b"")

    service.run(use, store.new())


def test_a_video_is_its_bit_stream(service: Service, store: RealStore, alice: Somebody) -> None:
    item = a_video()
    put_known(service, store, [item], alice)

    async def use(running: Running) -> None:
        answer = await running.get(f"{path_of(item)}/rendered", alice.token)
        assert (answer.status, answer.header("content-type")) == (200, "video/mp4")
        assert answer.body == VIDEO
        assert (await running.get(f"{path_of(item)}/frames/2/rendered", alice.token)).status == 406
        by_uri = await running.get(uri_of(item, contentType="video/mp4"), alice.token)
        assert by_uri.body == VIDEO

    service.run(use, store.new())


def test_an_image_stands_for_a_study_before_a_document(service: Service, store: RealStore, alice: Somebody) -> None:
    image = stored_object("CT_small.dcm")
    put_known(service, store, [a_pdf(image.ref.study_instance_uid), image], alice)
    assert picture(service.get(f"{path_of(image, 'study')}/rendered", alice.token, archive=store.new())).size == (
        128,
        128,
    )
