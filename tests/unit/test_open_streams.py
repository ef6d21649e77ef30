"""The limit on what one person has open at once."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from kheops.archive.port import ArchiveStream
from kheops.domain.policy import Source
from kheops.domain.principals import LinkVisit, Person, ViewerToken
from kheops.errors import ArchiveUnavailableError, TooManyRequestsError
from kheops.ids import LinkId, LinkPk, LinkVisitPk, StudyInstanceUID, UserPk, ViewerTokenPk
from kheops.services.open_streams import OpenStreams, StreamHolder, StreamPlace
from kheops.web.call import Call
from kheops.web.pixels import PixelResponse, streamed

ALICE, BOB = StreamHolder(UserPk(1)), StreamHolder(UserPk(2))


def _run(use: Callable[[OpenStreams], Awaitable[None]], *, limit: int = 2, patience: float = 5) -> None:
    asyncio.run(asyncio.wait_for(_awaited(use(OpenStreams(limit=limit, patience=patience))), 5))


async def _awaited(what: Awaitable[None]) -> None:
    await what


def test_one_more_than_the_limit_is_refused_and_somebody_else_is_not_hindered() -> None:
    async def use(streams: OpenStreams) -> None:
        held = [await streams.take(ALICE), await streams.take(ALICE)]
        with pytest.raises(TooManyRequestsError) as caught:
            await streams.take(ALICE)
        assert caught.value.retry_after > 0
        held.append(await streams.take(BOB))

    _run(use, patience=0.02)


def test_place_that_is_given_back_goes_to_whoever_waits_longest() -> None:
    async def use(streams: OpenStreams) -> None:
        first, second = await streams.take(ALICE), await streams.take(ALICE)
        order: list[str] = []

        async def wait(name: str) -> StreamPlace:
            place = await streams.take(ALICE)
            order.append(name)
            return place

        waiting = [asyncio.create_task(wait(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        first.give_back()
        # Not even somebody who comes at this moment gets in before them.
        late = asyncio.create_task(wait("late"))
        await asyncio.sleep(0.01)
        assert order == ["a"]
        second.give_back()
        await asyncio.sleep(0.01)
        assert order == ["a", "b"]
        (await waiting[0]).give_back()
        (await late).give_back()
        (await waiting[1]).give_back()
        assert order == ["a", "b", "late"]

    _run(use)


def test_place_is_given_back_once_however_often_its_holder_ends() -> None:
    async def use(streams: OpenStreams) -> None:
        first, second = await streams.take(ALICE), await streams.take(ALICE)
        first.give_back()
        first.give_back()
        third = await streams.take(ALICE)
        with pytest.raises(TooManyRequestsError):
            await streams.take(ALICE)
        for place in (second, third):
            place.give_back()

    _run(use, patience=0.02)


def test_who_gives_up_waiting_keeps_nothing_even_at_the_moment_of_being_let_in() -> None:
    async def use(streams: OpenStreams) -> None:
        held = [await streams.take(ALICE), await streams.take(ALICE)]
        waiting = asyncio.create_task(streams.take(ALICE))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        waiting = asyncio.create_task(streams.take(ALICE))
        await asyncio.sleep(0)
        held.pop().give_back()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        held.append(await streams.take(ALICE))
        held.clear()
        again = [await streams.take(ALICE), await streams.take(ALICE)]
        assert len(again) == 2

    _run(use, patience=0.5)


class Stream:
    """An answer of a store that has nothing more to say, and notes that it was closed."""

    status = 200
    content_type = "application/dicom"
    content_length = 2
    content_range = None

    def __init__(self, *, failing: bool = False) -> None:
        self._failing = failing
        self.closed = False

    async def chunks(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        yield b"a"
        if self._failing:
            raise ArchiveUnavailableError
        yield b"b"

    def abort(self) -> None:
        self.closed = True


async def _never() -> dict[str, object]:
    await asyncio.Event().wait()
    return {}


async def _sent(message: object) -> None:
    del message


@pytest.mark.parametrize(("method", "failing"), [("GET", False), ("HEAD", False), ("GET", True)])
def test_answer_gives_its_place_back_when_it_ends_and_when_it_is_cut(method: str, failing: bool) -> None:
    async def use(streams: OpenStreams) -> None:
        stream: ArchiveStream = Stream(failing=failing)
        response = PixelResponse(stream, headers=[], place=await streams.take(ALICE))
        try:
            await response({"type": "http", "method": method}, _never, _sent)
        except BaseException as error:  # noqa: BLE001 - the private cut
            assert type(error).__name__ == "CutError"  # noqa: PT017
            assert failing
        (await streams.take(ALICE)).give_back()

    _run(use, limit=1, patience=0.02)


def test_answer_that_never_begins_gives_its_place_back() -> None:
    async def use(streams: OpenStreams) -> None:
        stream: ArchiveStream = Stream()
        response = PixelResponse(stream, headers=[], place=await streams.take(ALICE))
        del response
        (await streams.take(ALICE)).give_back()

    _run(use, limit=1, patience=0.02)


def test_visitors_of_a_link_share_its_places_and_leave_their_hosts_alone() -> None:
    visits = [
        LinkVisit(
            visit=LinkVisitPk(number),
            link=LinkId("a" * 10),
            pk=LinkPk(7),
            user=ALICE.user,
            iss="i",
            sub="s",
            album=None,
            download=False,
        )
        for number in range(3)
    ]

    async def use(streams: OpenStreams) -> None:
        held = [await streams.take(StreamHolder.of(each)) for each in visits[:2]]
        with pytest.raises(TooManyRequestsError):
            await streams.take(StreamHolder.of(visits[2]))
        viewer = ViewerToken(
            viewer=ViewerTokenPk(1),
            parent=Person(ALICE.user, "i", "s", "t"),
            study=StudyInstanceUID("1.2"),
            source=Source(),
            read=True,
            write=False,
        )
        assert StreamHolder.of(viewer) == ALICE
        held.append(await streams.take(StreamHolder.of(viewer)))

    _run(use, patience=0.02)


def test_a_retrieval_by_a_link_waits_for_none_of_its_hosts() -> None:
    visit = LinkVisit(
        visit=LinkVisitPk(1),
        link=LinkId("a" * 10),
        pk=LinkPk(7),
        user=ALICE.user,
        iss="i",
        sub="s",
        album=None,
        download=False,
    )

    async def opening() -> ArchiveStream:
        raise ArchiveUnavailableError

    async def use(streams: OpenStreams) -> None:
        held = await streams.take(ALICE)
        call = SimpleNamespace(principal=visit, process=SimpleNamespace(open_streams=streams))
        # It had a place, for it came to the store.
        with pytest.raises(ArchiveUnavailableError):
            await streamed(cast("Call", call), opening, headers=[])
        held.give_back()

    _run(use, limit=1, patience=0.02)
