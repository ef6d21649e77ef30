"""What a store renders, over the adapters' real servers."""

import io

import numpy as np
import pytest
from PIL import Image

from kheops.archive.port import ArchiveAbsentError
from kheops.dicomweb.rendering import Region, RenderingName, RenderingParameters, Viewport, Window
from kheops.domain.policy import ReadableInstance
from kheops.domain.resources import InstanceRef
from kheops.errors import NotAcceptableError
from kheops.ids import SeriesInstanceUID
from tests.contract.archive.objects import Stored, new_uid, read, stored_object
from tests.contract.archive.real_stores import Adapter, RealStore

ANYHOW = RenderingParameters()


def picture(
    store: RealStore,
    item: Stored,
    frame: int | None = None,
    *,
    media_type: str = "image/jpeg",
    parameters: RenderingParameters = ANYHOW,
) -> tuple[str, bytes]:
    """Store an object and return what it is rendered as: the content type, and the body."""

    async def use(archive: Adapter) -> tuple[str, bytes]:
        await archive.store([item.held])
        stream = await archive.open_rendered(item.readable, frame, media_type=media_type, parameters=parameters)
        return stream.content_type, await read(stream)

    return store.run(use)


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


@pytest.mark.parametrize(("media_type", "file_format"), [("image/jpeg", "JPEG"), ("image/png", "PNG")])
def test_instance_is_rendered_as_what_was_asked_for(store: RealStore, media_type: str, file_format: str) -> None:
    content_type, body = picture(store, stored_object("CT_small.dcm"), media_type=media_type)
    assert content_type == media_type
    image = opened(body)
    assert (image.format, image.size) == (file_format, (128, 128))
    assert image.getextrema() != (0, 0)


def test_frames_are_rendered_apart(store: RealStore) -> None:
    item = stored_object("SC_rgb_rle_2frame.dcm")
    first, second = (opened(picture(store, item, number, media_type="image/png")[1]) for number in (1, 2))
    assert (first.mode, first.size, second.size) == ("RGB", (100, 100), (100, 100))
    assert first.tobytes() != second.tobytes()


def test_viewport_scales_and_cuts(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    sizes = []
    for viewport in (Viewport(64, 64), Viewport(200, 200), Viewport(64, 32, Region(10, 20, 64, 32))):
        parameters = RenderingParameters(viewport=viewport)
        sizes.append(opened(picture(store, item, media_type="image/png", parameters=parameters)[1]).size)
    assert sizes == [(64, 64), (200, 200), (64, 32)]


def test_region_is_the_part_that_was_asked_for(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    whole = opened(picture(store, item, media_type="image/png")[1])
    parameters = RenderingParameters(viewport=Viewport(32, 32, Region(40, 60, 32, 32)))
    part = opened(picture(store, item, media_type="image/png", parameters=parameters)[1])
    # Where an object names no window, a store may spread the grey values anew over what is shown.
    assert _likeness(part, whole.crop((40, 60, 72, 92))) > 0.99
    assert _likeness(part, whole.crop((41, 60, 73, 92))) < 0.99


def _likeness(one: Image.Image, other: Image.Image) -> float:
    return float(np.corrcoef(np.asarray(one).ravel(), np.asarray(other).ravel())[0, 1])


def test_parameters_that_the_store_knows_change_the_picture_and_others_are_not_sent(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    plain = picture(store, item)[1]
    asked = RenderingParameters(window=Window(40, 80), quality=5)
    changed = picture(store, item, parameters=asked)[1]
    known = store.run(_renders)
    assert RenderingName.VIEWPORT in known
    assert (changed != plain) is bool(known & {RenderingName.WINDOW, RenderingName.QUALITY})


async def _renders(archive: Adapter) -> frozenset[RenderingName]:
    return archive.renders


@pytest.mark.parametrize("name", ["test-SR.dcm", "waveform_ecg.dcm"])
def test_object_without_pixels_is_not_rendered(store: RealStore, name: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        picture(store, stored_object(name))
    assert caught.value.available == ["image/jpeg", "image/png"]


def test_frame_that_does_not_exist_is_not_rendered(store: RealStore) -> None:
    with pytest.raises((ArchiveAbsentError, NotAcceptableError)):
        picture(store, stored_object("SC_rgb_rle_2frame.dcm"), 3)


def test_unknown_object_and_one_of_another_series_are_absent(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    ref = item.ref
    elsewhere = InstanceRef(ref.study_instance_uid, SeriesInstanceUID(new_uid()), ref.sop_instance_uid)

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        for absent in (elsewhere, stored_object("CT_small.dcm").ref):
            readable = ReadableInstance(absent)
            for frame in (None, 1):
                with pytest.raises(ArchiveAbsentError):
                    await archive.open_rendered(readable, frame, media_type="image/jpeg", parameters=ANYHOW)

    store.run(use)
