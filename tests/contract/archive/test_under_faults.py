"""The Healthcare adapter, many requests at a time, at a store of which nearly half of the answers fail."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import httpx
import pytest

from kheops.archive.port import ArchiveStream
from kheops.errors import ArchiveUnavailableError
from tests.contract.archive.objects import Stored, in_pieces, read, read_parts, stored_object, study_of_series
from tests.contract.archive.real_stores import Adapter, RealStore, faulty_emulator

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
SINGLE = "application/dicom; transfer-syntax=*"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    """Give a store of this module's own, so that its counts are of these tests."""
    with faulty_emulator(tmp_path_factory.mktemp("faulty")) as store:
        yield store


def _counts(store: RealStore) -> Counter[str]:
    url = f"{store.root.partition('/v1/')[0]}/emulator/faults"
    return Counter(httpx.get(url, headers=store.headers).json()["counts"])


async def _tried(asked: Callable[[], Awaitable[bool]], seen: Counter[str]) -> None:
    """Ask until there is an answer, and count what became of each time."""
    while True:
        try:
            seen["right" if await asked() else "wrong"] += 1
        except ArchiveUnavailableError:
            seen["unavailable"] += 1
            assert seen["unavailable"] < 1000
        else:
            return


def test_what_is_said_to_be_stored_is_there_byte_for_byte(faulty: RealStore) -> None:
    batches = [study_of_series(4)[0] for _ in range(12)]
    large = [stored_object("examples_ybr_color.dcm") for _ in range(12)]
    before = _counts(faulty)

    async def batch_stored(archive: Adapter, items: list[Stored]) -> frozenset[str]:
        try:
            outcome = await archive.store([item.held for item in items])
        except ArchiveUnavailableError:
            return frozenset()
        # Whatever befalls a request, no store has a reason to refuse one of these.
        assert outcome.failed == {}
        return frozenset(outcome.stored)

    async def stream_stored(archive: Adapter, item: Stored) -> frozenset[str]:
        try:
            return frozenset((await archive.store_stream(item.admitted, in_pieces(item.body))).stored)
        except ArchiveUnavailableError:
            return frozenset()

    async def use(archive: Adapter) -> tuple[list[frozenset[str]], Counter[str]]:
        stored = await asyncio.gather(
            *(batch_stored(archive, items) for items in batches), *(stream_stored(archive, item) for item in large)
        )
        said = frozenset().union(*stored)
        seen: Counter[str] = Counter()
        for item in [*(item for items in batches for item in items), *large]:
            if item.ref.sop_instance_uid in said:

                async def same(item: Stored = item) -> bool:
                    return await read(await archive.inspect_bytes(item.ref)) == item.body

                await _tried(same, seen)
        return list(stored), seen

    stored, seen = faulty.run(use)
    number = sum(len(each) for each in stored)
    assert seen["wrong"] == 0
    assert seen["right"] == number > 12
    assert any(not each for each in stored[12:]), "no stream failed: nothing was tried"
    assert min((_counts(faulty) - before).values()) > 0


def test_reading_gives_the_right_answer_or_says_that_there_is_none_now(faulty: RealStore) -> None:
    first, second = study_of_series(5, 3)
    color = stored_object("examples_ybr_color.dcm")
    absent = stored_object("CT_small.dcm")
    before = _counts(faulty)

    async def use(archive: Adapter) -> Counter[str]:
        seen: Counter[str] = Counter()
        for items in (first, second, [color]):

            async def stored(items: list[Stored] = items) -> bool:
                outcome = await archive.store([item.held for item in items])
                return outcome.stored == {item.ref.sop_instance_uid for item in items}

            await _tried(stored, seen)

        async def single(item: Stored) -> bool:
            stream: ArchiveStream = await archive.open_instance(item.readable, accept=SINGLE)
            return await read(stream) == item.body

        async def series(items: list[Stored]) -> bool:
            stream = await archive.open_series(items[0].readable_series, accept=DICOM)
            parts = [body for _, body in await read_parts(stream)]
            return sorted(parts) == sorted(item.body for item in items)

        async def listed(items: list[Stored]) -> bool:
            found = await archive.inspect_series(items[0].ref.series)
            return found == {item.ref.sop_instance_uid for item in items}

        async def metadata(items: list[Stored]) -> bool:
            models = json.loads(await read(await archive.open_series_metadata(items[0].readable_series)))
            uids = {model["00080018"]["Value"][0] for model in models}
            return uids == {item.ref.sop_instance_uid for item in items}

        async def there(item: Stored) -> bool:
            return await archive.inspect_instance(item.ref)

        async def not_there(item: Stored) -> bool:
            return not await archive.inspect_instance(item.ref)

        async def listed_nothing(item: Stored) -> bool:
            return await archive.inspect_series(item.ref.series) == frozenset()

        questions: list[Callable[[], Awaitable[bool]]] = []
        for items in (first, second, [color]):
            questions += [partial(series, items), partial(listed, items), partial(metadata, items)]
            questions += [partial(single, item) for item in items]
            questions += [partial(there, item) for item in items]
        questions += [partial(not_there, absent), partial(listed_nothing, absent)]
        await asyncio.gather(*(_tried(question, seen) for question in questions * 3))
        return seen

    seen = faulty.run(use)
    assert seen["wrong"] == 0
    assert seen["unavailable"] > 3, "nothing failed: nothing was tried"
    assert min((_counts(faulty) - before).values()) > 0
