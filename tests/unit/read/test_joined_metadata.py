import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from typing_extensions import override

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.services.joined_metadata import MetadataAnswer, join_metadata
from kheops.web.pixels import PixelResponse
from tests.service.read.client import Answer, request
from tests.unit.read.streams import ScriptedStream

STORE = "http://inner:8042/dicom-web"
SERIES = SeriesRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"))


class Links:
    """The one method of an archive that metadata needs: links of a store at `STORE`."""

    def public_bulkdata_path(self, ref: InstanceRef, uri: str) -> str | None:
        start = (
            f"{STORE}/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
            f"/instances/{ref.sop_instance_uid}/"
        )
        return uri.removeprefix(start) if uri.startswith(start) else None


def instance(uid: str, *, link: str | None = None, series: str = "1.2.3", padding: int = 0) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00080018": {"vr": "UI", "Value": [uid]},
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "0020000E": {"vr": "UI", "Value": [series]},
    }
    if link is not None:
        item["7FE00010"] = {"vr": "OW", "BulkDataURI": link}
    if padding:
        item["00204000"] = {"vr": "LT", "Value": ["x" * padding]}
    return item


def answer(
    *items: dict[str, Any], confirmed: str, size: int = 1 << 20, fails: Exception | None = None
) -> MetadataAnswer:
    body = json.dumps(items).encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    stream = ScriptedStream(*pieces, content_type="application/dicom+json", fails=fails)
    return MetadataAnswer(stream, SERIES, frozenset(SopInstanceUID(uid) for uid in confirmed.split()))


async def joined(*answers: MetadataAnswer, links: Links) -> ArchiveStream:
    async def opened() -> AsyncGenerator[MetadataAnswer, None]:
        for each in answers:
            yield each

    return await join_metadata(opened(), archive=links, api_root="https://us/api")  # type: ignore[arg-type]


def read(*answers: MetadataAnswer, links: Links | None = None) -> list[dict[str, Any]]:
    async def main() -> bytes:
        return b"".join([chunk async for chunk in (await joined(*answers, links=links or Links())).chunks()])

    items: list[dict[str, Any]] = json.loads(asyncio.run(main()))
    return items


def uids(items: list[dict[str, Any]]) -> list[str]:
    return [item["00080018"]["Value"][0] for item in items]


@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_arrays_are_joined_and_what_is_not_confirmed_is_left_out(size: int) -> None:
    items = read(
        answer(instance("1"), instance("2"), instance("3"), confirmed="1 3", size=size),
        answer(instance("9"), confirmed="8", size=size),
        answer(confirmed="7", size=size),
        answer(instance("4"), confirmed="4", size=size),
    )
    assert uids(items) == ["1", "3", "4"]


def test_nothing_confirmed_is_absent() -> None:
    with pytest.raises(ArchiveAbsentError):
        read(answer(instance("1"), confirmed="2"), answer(confirmed="3"))


@pytest.mark.parametrize(
    ("link", "public"),
    [
        (f"{STORE}/studies/1.2/series/1.2.3/instances/1/bulk/7fe00010", "bulk/7fe00010"),
        (f"{STORE}/studies/1.2/series/1.2.9/instances/1/bulk/7fe00010", None),
        (f"{STORE}/studies/1.2/series/1.2.3/instances/2/bulk/7fe00010", None),
        (f"{STORE}/studies/1.2/series/1.2.3/instances/1/bulk/../../2", None),
        (f"{STORE}/studies/1.2/series/1.2.3/instances/1/bulk/a?b", None),
        ("file:///etc/passwd", None),
    ],
)
def test_links_become_ours_or_are_dropped(link: str, public: str | None) -> None:
    (item,) = read(answer(instance("1", link=link), confirmed="1"))
    if public is None:
        assert item["7FE00010"] == {"vr": "OW"}
    else:
        own = f"https://us/api/studies/1.2/series/1.2.3/instances/1/bulkdata/{public}"
        assert item["7FE00010"]["BulkDataURI"] == own


def test_links_follow_the_series_that_was_decided_on_not_what_the_object_says() -> None:
    link = f"{STORE}/studies/1.2/series/6.6.6/instances/1/bulk/7fe00010"
    (item,) = read(answer(instance("1", link=link, series="6.6.6"), confirmed="1"))
    assert "BulkDataURI" not in item["7FE00010"]


@pytest.mark.parametrize(("padding", "elsewhere"), [(10, False), (300_000, True)])
def test_long_metadata_is_rewritten_off_the_event_loop(padding: int, *, elsewhere: bool) -> None:
    threads = set()

    class Watched(Links):
        @override
        def public_bulkdata_path(self, ref: InstanceRef, uri: str) -> str | None:
            threads.add(threading.get_ident())
            return super().public_bulkdata_path(ref, uri)

    link = f"{STORE}/studies/1.2/series/1.2.3/instances/1/bulk/7fe00010"
    items = read(answer(instance("1", link=link, padding=padding), confirmed="1"), links=Watched())
    assert uids(items) == ["1"]
    assert threads
    assert (threading.get_ident() not in threads) is elsewhere


@pytest.mark.parametrize(
    "broken",
    [
        answer(instance("2"), confirmed="2", fails=ArchiveUnavailableError()),
        MetadataAnswer(ScriptedStream(b'[{"a": 1}, ', content_type="x"), SERIES, frozenset()),
        MetadataAnswer(ScriptedStream(b"<html>", content_type="x"), SERIES, frozenset()),
    ],
)
def test_what_breaks_after_the_first_byte_is_cut_and_from_the_start_is_an_error(broken: MetadataAnswer) -> None:
    seen = Answer()

    async def main() -> None:
        response = PixelResponse(await joined(answer(instance("1"), confirmed="1"), broken, links=Links()), headers=[])
        try:
            await request(response, "/", answer=seen)
        except BaseException as error:
            if type(error).__name__ != "CutError":
                raise

    asyncio.run(main())
    assert seen.status == 200
    assert not seen.complete
    assert not seen.body.endswith(b"]")
    assert isinstance(broken.stream, ScriptedStream)
    assert broken.stream.aborted


def test_a_store_that_sends_no_json_is_an_error_before_the_answer() -> None:
    broken = MetadataAnswer(ScriptedStream(b"<html>", content_type="x"), SERIES, frozenset())
    with pytest.raises(ArchiveProtocolError):
        read(broken)
