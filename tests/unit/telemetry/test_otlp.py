"""The recorder before a collector that answers, refuses, or hangs."""

import asyncio
import logging
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from google.auth import credentials
from typing_extensions import override

from kheops.request_context import RequestContext, set_request
from kheops.telemetry import signals
from kheops.telemetry.collector import is_google, session_for
from kheops.telemetry.otlp import OtlpRecorder
from kheops.telemetry.signals import Count, Level
from tests.fakes.otlp_collector import attributes_of, running_collector

PARENT = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


@contextmanager
def recording(url: str, *, ratio: float = 1.0) -> Iterator[OtlpRecorder]:
    recorder = OtlpRecorder(endpoint=url, trace_ratio=ratio, session=session_for(url))
    signals.install(recorder)
    try:
        yield recorder
    finally:
        signals.install(None)
        recorder.close()


def served(
    recorder: OtlpRecorder, *, parts: int = 0, headers: tuple[tuple[bytes, bytes], ...] = (), method: str = "GET"
) -> RequestContext:
    """Serve a request, with so many parts, in a task of its own."""
    context = RequestContext("0123", headers)

    async def serve() -> None:
        set_request(context)
        request = recorder.request(context, method=method)
        for _ in range(parts):
            with signals.part("store", {"http.request.method": "GET"}) as part:
                part.tell("http.response.status_code", 200)
        request.end(route="/api/albums", status=200, error=None, request_bytes=3, response_bytes=5)

    asyncio.run(serve())
    return context


def test_what_is_recorded_is_sent_at_the_end() -> None:
    with running_collector() as collector, recording(collector.url) as recorder:
        recorder.watch(Level.OPEN_STREAMS, lambda: 7)
        signals.count(Count.STORE_RETRIES)
        signals.count(Count.DENIALS, 2, reason="album_role")
        signals.level(Level.OUTBOX_BACKLOG, 11)
        served(recorder, parts=2)
    assert [point.value for point in collector.points("kheops.streams.open")] == [7]
    assert [point.value for point in collector.points("kheops.store.retries")] == [1]
    assert [point.value for point in collector.points("kheops.outbox.backlog")] == [11]
    (denials,) = collector.points("kheops.denials")
    assert (denials.value, denials.attributes) == (2, {"reason": "album_role"})
    assert sorted(span.name for span in collector.spans) == ["GET /api/albums", "store", "store"]
    assert len({span.trace_id for span in collector.spans}) == 1


def test_nothing_is_recorded_without_a_recorder() -> None:
    signals.count(Count.STORE_RETRIES)
    signals.level(Level.OUTBOX_BACKLOG, 1)
    with signals.part("store", {}) as part:
        part.tell("x", 1)
    assert part is signals.NO_PART


def test_a_method_that_nobody_knows_is_not_a_name_of_its_own() -> None:
    with running_collector() as collector, recording(collector.url) as recorder:
        served(recorder, method="X-1.2.840.113619")
    assert {point.attributes["http.request.method"] for point in collector.points("http.server.request.duration")} == {
        "_OTHER"
    }
    assert b"1.2.840" not in b"".join(collector.raw)


def test_the_words_of_an_exception_are_not_sent() -> None:
    with running_collector() as collector, recording(collector.url) as recorder:
        set_request(context := RequestContext("0123", ()))
        request = recorder.request(context, method="GET")
        with pytest.raises(ValueError, match="Xq"), signals.part("store", {}):
            raise ValueError("Xq^Unmistakable")
        request.end(route=None, status=None, error="ValueError", request_bytes=0, response_bytes=0)
        set_request(None)
    (part,) = [span for span in collector.spans if span.name == "store"]
    assert attributes_of(part.attributes) == {"error.type": "ValueError"}
    assert part.status.code == 2
    assert b"Unmistakable" not in b"".join(collector.raw)


def test_a_trace_has_no_more_parts_than_others_leave_room_for() -> None:
    with running_collector() as collector, recording(collector.url) as recorder:
        served(recorder, parts=1000)
    assert len(collector.spans) == 201


def test_callers_cannot_have_each_request_traced() -> None:
    with running_collector() as collector:
        with recording(collector.url, ratio=0.000_001) as recorder:
            traced = [served(recorder, headers=(PARENT,)).span is not None for _ in range(50)]
            assert traced == [True] + [False] * 49
            assert served(recorder).span is None
        with recording(collector.url, ratio=0) as recorder:
            assert served(recorder, headers=(PARENT,)).span is None
    (server,) = [span for span in collector.spans if span.kind == 2]
    assert server.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    (duration,) = {p.value for p in collector.points("http.server.request.duration") if p.value > 1}
    assert duration == 51, "what is not traced is counted all the same"


def test_a_collector_that_hangs_costs_neither_time_nor_memory() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        recorder = OtlpRecorder(endpoint=url, trace_ratio=1, session=session_for(url))
        try:
            signals.install(recorder)
            tracemalloc.start()
            for _ in range(15):
                served(recorder, parts=199)
            before = tracemalloc.get_traced_memory()[0]
            begun = time.perf_counter()
            for _ in range(30):
                served(recorder, parts=199)
            took = time.perf_counter() - begun
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
        finally:
            signals.install(None)
            begun = time.monotonic()
            recorder.close(seconds=1)
            ended = time.monotonic() - begun
    assert took < 5, "6,000 spans"
    # The queue is full before and after; what grows it is a batch on its way.
    assert grown < 2_000_000
    assert ended < 2


def test_a_collector_that_refuses_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with running_collector() as collector, caplog.at_level(logging.INFO):
        collector.refuses = 400
        with recording(collector.url) as recorder:
            for _ in range(2):
                served(recorder)
                recorder._traces.force_flush()
            collector.refuses = None
            served(recorder)
            recorder._traces.force_flush()
    said = [(record.message, getattr(record, "signal", None)) for record in caplog.records]
    assert said == [("telemetry.not_exported", "traces"), ("telemetry.exported_again", "traces")]


def test_a_token_goes_to_googles_own_collector_only() -> None:
    class Token(credentials.Credentials):
        @override
        def refresh(self, request: object) -> None:
            raise AssertionError

    assert is_google("https://telemetry.googleapis.com")
    for other in (
        "http://telemetry.googleapis.com",
        "https://telemetry.googleapis.com.example.org",
        "https://collector.example.org/telemetry.googleapis.com",
        "http://127.0.0.1:4318",
    ):
        assert not is_google(other)
        session = session_for(other, default=Token)()
        assert type(session) is requests.Session
        assert not session.trust_env
    found = session_for("https://telemetry.googleapis.com", default=Token)()
    assert isinstance(found.credentials, Token)  # type: ignore[attr-defined]
