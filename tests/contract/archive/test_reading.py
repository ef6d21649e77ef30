import json
from functools import partial
from typing import Any

import pytest
from pydicom.encaps import generate_frames

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.domain.policy import ReadableInstance, ReadableSeries
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import NotAcceptableError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.objects import (
    new_uid,
    pixel_data,
    read,
    read_parts,
    stored_object,
    study_of_series,
)
from tests.contract.archive.real_stores import Adapter, RealStore

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'

FILES = [
    "CT_small.dcm",
    "JPEG2000.dcm",
    "rtdose.dcm",
    "test-SR.dcm",
    "chrH31.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_rle_2frame.dcm",
    "examples_ybr_color.dcm",
    "waveform_ecg.dcm",
]


@pytest.mark.parametrize("name", FILES)
def test_instance_comes_back_byte_for_byte(store: RealStore, name: str) -> None:
    item = stored_object(name)

    async def use(archive: Adapter) -> list[bytes]:
        await archive.store([item.held])
        multipart = await read_parts(await archive.open_instance(item.readable, accept=DICOM))
        assert len(multipart) == 1
        single = await archive.open_instance(item.readable, accept="application/dicom; transfer-syntax=*")
        assert single.content_type.startswith("application/dicom")
        # DCM4CHEE gives a multipart body no length; a part that arrives in one piece has one all the same.
        if store.name != "dcm4chee" or len(item.body) < 64_000:
            assert single.content_length == len(item.body)
        else:
            assert single.content_length in {None, len(item.body)}
        return [multipart[0][1], await read(single), await read(await archive.inspect_bytes(item.ref))]

    assert store.run(use) == [item.body] * 3


def test_series_brings_its_instances_and_no_others(store: RealStore) -> None:
    first, second = study_of_series(3, 2)

    async def use(archive: Adapter) -> list[bytes]:
        await archive.store([item.held for item in (*first, *second)])
        stream = await archive.open_series(first[0].readable_series, accept=DICOM)
        return [data for _, data in await read_parts(stream)]

    assert sorted(store.run(use)) == sorted(item.body for item in first)


def test_native_frames_are_cut_from_the_pixel_data_in_the_order_asked(store: RealStore) -> None:
    item = stored_object("rtdose.dcm")
    pixels = pixel_data(item)
    size = len(pixels) // 15

    async def use(archive: Adapter) -> list[bytes]:
        await archive.store([item.held])
        stream = await archive.open_frames(item.readable, [3, 1], accept=OCTETS)
        return [data for _, data in await read_parts(stream)]

    assert store.run(use) == [pixels[2 * size : 3 * size], pixels[:size]]


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm"])
def test_encapsulated_frames_stay_as_encoded(store: RealStore, name: str) -> None:
    item = stored_object(name)
    dataset = item.dataset
    expected = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))
    last = len(expected)

    async def use(archive: Adapter) -> list[tuple[str, bytes]]:
        await archive.store([item.held])
        return await read_parts(await archive.open_frames(item.readable, [last], accept=OCTETS))

    parts = store.run(use)
    assert [data for _, data in parts] == [expected[-1]]


def test_single_frame_may_be_the_body_itself(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> tuple[str, int | None, bytes]:
        await archive.store([item.held])
        stream = await archive.open_frames(item.readable, [1], accept="application/octet-stream")
        return stream.content_type, stream.content_length, await read(stream)

    content_type, length, data = store.run(use)
    assert data == pixel_data(item)
    assert content_type.startswith("application/octet-stream")
    assert length in {None, len(data)}


@pytest.mark.parametrize("frames", [[2], [1, 99], [0], [-1], []])
def test_frame_that_does_not_exist_is_absent(store: RealStore, frames: list[int]) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        with pytest.raises(ArchiveAbsentError):
            await archive.open_frames(item.readable, frames, accept=OCTETS)

    store.run(use)


def test_media_type_that_the_store_does_not_make_is_not_acceptable(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        for accept in ('multipart/related; type="image/gif"', "image/gif"):
            with pytest.raises(NotAcceptableError) as caught:
                await archive.open_frames(item.readable, [1], accept=accept)
            assert caught.value.available
            with pytest.raises(NotAcceptableError):
                await archive.open_instance(item.readable, accept=accept)

    store.run(use)


async def _metadata(stream: ArchiveStream) -> list[dict[str, Any]]:
    loaded = json.loads(await read(stream))
    assert isinstance(loaded, list)
    return loaded


def test_metadata_names_bulk_data_that_reads_as_stored(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        (model,) = await _metadata(await archive.open_instance_metadata(item.readable))
        assert model["00080018"]["Value"] == [item.ref.sop_instance_uid]
        uri = model["7FE00010"]["BulkDataURI"]
        # DCM4CHEE is read through another of its application entities.
        assert uri.startswith(store.root.partition("/aets/")[0])
        path = archive.public_bulkdata_path(item.ref, uri)
        assert path is not None
        single = await archive.open_bulkdata(
            item.readable, path, accept="application/octet-stream", byte_range="bytes=0-9"
        )
        assert single.status == 200
        assert single.content_length == len(pixel_data(item))
        assert await read(single) == pixel_data(item)
        parts = await read_parts(await archive.open_bulkdata(item.readable, path, accept=OCTETS, byte_range=None))
        assert [data for _, data in parts] == [pixel_data(item)]

    store.run(use)


def test_series_metadata_has_each_instance(store: RealStore) -> None:
    first, second = study_of_series(3, 1)

    async def use(archive: Adapter) -> list[str]:
        await archive.store([item.held for item in (*first, *second)])
        models = await _metadata(await archive.open_series_metadata(first[0].readable_series))
        return [model["00080018"]["Value"][0] for model in models]

    assert sorted(store.run(use)) == sorted(item.ref.sop_instance_uid for item in first)


def test_bulk_data_that_does_not_exist_is_absent(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        prefix = "bulk/" if store.name == "orthanc" else ""
        for path in (f"{prefix}00990010", f"{prefix}7fe00011"):
            with pytest.raises(ArchiveAbsentError):
                await archive.open_bulkdata(item.readable, path, accept=OCTETS, byte_range=None)

    store.run(use)


def test_encapsulated_pixel_data_is_one_body_or_refused_as_one(store: RealStore) -> None:
    item = stored_object("examples_ybr_color.dcm")

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        if store.name != "emulator":
            # A part a fragment or frame: as one body they could not be told apart.
            path = "bulk/7fe00010" if store.name == "orthanc" else "7FE00010"
            with pytest.raises(NotAcceptableError):
                await archive.open_bulkdata(item.readable, path, accept="application/octet-stream", byte_range=None)
            return
        stream = await archive.open_bulkdata(
            item.readable, "7FE00010", accept="application/octet-stream", byte_range=None
        )
        data = await read(stream)
        assert data in item.body
        assert len(data) == stream.content_length

    store.run(use)


def _unknown() -> InstanceRef:
    return InstanceRef(StudyInstanceUID(new_uid()), SeriesInstanceUID(new_uid()), SopInstanceUID(new_uid()))


@pytest.mark.parametrize("depth", ["study", "series", "instance"])
def test_unknown_object_is_absent_everywhere(store: RealStore, depth: str) -> None:
    known = stored_object("CT_small.dcm").ref
    unknown = _unknown()
    ref = InstanceRef(
        unknown.study_instance_uid if depth == "study" else known.study_instance_uid,
        known.series_instance_uid if depth == "instance" else unknown.series_instance_uid,
        unknown.sop_instance_uid,
    )
    item = stored_object("CT_small.dcm", study=known.study_instance_uid, series=known.series_instance_uid)
    instance, series = ReadableInstance(ref), ReadableSeries(ref.series)
    prefix = "bulk/" if store.name == "orthanc" else ""

    async def use(archive: Adapter) -> None:
        await archive.store([item.held])
        opened = [
            partial(archive.open_instance, instance, accept=DICOM),
            partial(archive.open_frames, instance, [1], accept=OCTETS),
            partial(archive.open_instance_metadata, instance),
            partial(archive.open_bulkdata, instance, f"{prefix}7fe00010", accept=OCTETS, byte_range=None),
            partial(archive.inspect_bytes, ref),
        ]
        if depth != "instance":
            opened += [
                partial(archive.open_series, series, accept=DICOM),
                partial(archive.open_series_metadata, series),
            ]
            assert await archive.inspect_series(ref.series) == frozenset()
        for opening in opened:
            with pytest.raises(ArchiveAbsentError):
                await opening()
        assert await archive.inspect_instance(ref) is False

    store.run(use)


def test_instance_is_not_found_below_another_series(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    elsewhere = InstanceRef(item.ref.study_instance_uid, SeriesInstanceUID(new_uid()), item.ref.sop_instance_uid)

    async def use(archive: Adapter) -> list[bool]:
        await archive.store([item.held])
        with pytest.raises(ArchiveAbsentError):
            await archive.open_instance(ReadableInstance(elsewhere), accept=DICOM)
        return [await archive.inspect_instance(item.ref), await archive.inspect_instance(elsewhere)]

    assert store.run(use) == [True, False]


def test_search_of_a_series_pages_to_its_end(store: RealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kheops.archive.dicomweb_store._PAGE", 2)
    (series,) = study_of_series(5)

    async def use(archive: Adapter) -> frozenset[SopInstanceUID]:
        await archive.store([item.held for item in series])
        return await archive.inspect_series(series[0].ref.series)

    assert store.run(use) == {item.ref.sop_instance_uid for item in series}


def test_search_of_a_series_sees_that_series_only(store: RealStore) -> None:
    first, second = study_of_series(2, 1)

    async def use(archive: Adapter) -> list[frozenset[SopInstanceUID]]:
        await archive.store([item.held for item in (*first, *second)])
        never = SeriesRef(first[0].ref.study_instance_uid, SeriesInstanceUID(new_uid()))
        return [
            await archive.inspect_series(second[0].ref.series),
            await archive.inspect_series(never),
        ]

    assert store.run(use) == [{second[0].ref.sop_instance_uid}, frozenset()]


def test_aborted_stream_can_be_aborted_again_and_the_archive_goes_on(store: RealStore) -> None:
    item = stored_object("examples_ybr_color.dcm")

    async def use(archive: Adapter) -> bytes:
        await archive.store([item.held])
        stream = await archive.open_instance(item.readable, accept=DICOM)
        async for _ in stream.chunks():
            break
        stream.abort()
        stream.abort()
        return await read(await archive.inspect_bytes(item.ref))

    assert store.run(use) == item.body


def test_store_that_runs_is_ready(store: RealStore) -> None:
    assert store.run(lambda archive: archive.ready()) is True
