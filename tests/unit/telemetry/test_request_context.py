"""Which trace a request says that it is part of, and which lines of the log are a request's."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from kheops.observability import configure, get_logger
from kheops.request_context import (
    RequestContext,
    TracePosition,
    parse_cloud_trace_context,
    parse_traceparent,
    set_request,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "sampled"),
    [(f"00-{TRACE}-{SPAN}-01", True), (f"00-{TRACE}-{SPAN}-00", False), (f"cc-{TRACE}-{SPAN}-03-more", True)],
)
def test_traceparent_is_read(value: str, sampled: bool) -> None:
    assert parse_traceparent(value) == TracePosition(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        f'00-{TRACE}-{SPAN}-01","severity":"EMERGENCY',
        f"00-{TRACE[:-1]}\u0663-{SPAN}-01",
    ],
)
def test_malformed_traceparent_is_none(value: str) -> None:
    assert parse_traceparent(value) is None


def test_cloud_trace_context_has_a_decimal_span() -> None:
    assert parse_cloud_trace_context(f"{TRACE}/255;o=1") == TracePosition(TRACE, "00000000000000ff", sampled=True)
    assert parse_cloud_trace_context(f"{TRACE.upper()}/255") == TracePosition(TRACE, "00000000000000ff", sampled=False)


@pytest.mark.parametrize(
    "value", [TRACE, f"{TRACE}/0;o=1", f"{TRACE}/{2**64}", f"{TRACE}/1;o=2", f"{TRACE}/\u0661", "/1"]
)
def test_malformed_cloud_trace_context_is_none(value: str) -> None:
    assert parse_cloud_trace_context(value) is None


def test_traceparent_wins_and_a_repeated_one_counts_as_absent() -> None:
    parent = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    cloud = (b"x-cloud-trace-context", b"1" * 32 + b"/1")
    assert RequestContext("r", [cloud, parent]).parent == TracePosition(TRACE, SPAN, sampled=True)
    repeated = RequestContext("r", [parent, parent, cloud]).parent
    assert repeated is not None
    assert repeated.trace_id == "1" * 32
    assert RequestContext("r", []).parent is None


@pytest.fixture
def root() -> Iterator[None]:
    before, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = before
    logging.getLogger().setLevel(level)
    set_request(None)


def _logged(project: str | None, *requests: RequestContext | None) -> list[dict[str, object]]:
    stream = io.StringIO()
    configure("info", stream=stream, google_project=project)
    log = get_logger("test")

    async def serve(request: RequestContext | None) -> None:
        set_request(request)
        await asyncio.sleep(0)
        # Another thread, as that of a unit of work.
        await asyncio.to_thread(log.info, "store.something", number=1)

    async def serve_all() -> None:
        await asyncio.gather(*(serve(each) for each in requests))

    asyncio.run(serve_all())
    return sorted((json.loads(line) for line in stream.getvalue().splitlines()), key=str)


@pytest.mark.usefixtures("root")
def test_lines_have_their_request_and_trace_as_cloud_logging_names_them() -> None:
    first = RequestContext("request-1", [(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    second = RequestContext("request-2", [(b"x-cloud-trace-context", b"2" * 32 + b"/17")])
    lines = _logged("example-project", first, second, None)
    kept = [{key: value for key, value in line.items() if key not in {"time", "logger"}} for line in lines]
    plain = {"severity": "INFO", "event": "store.something", "number": 1}
    assert sorted(kept, key=lambda line: str(line.get("request_id"))) == [
        plain,
        {
            **plain,
            "request_id": "request-1",
            "logging.googleapis.com/trace": f"projects/example-project/traces/{TRACE}",
            "logging.googleapis.com/spanId": SPAN,
            "logging.googleapis.com/trace_sampled": True,
        },
        {
            **plain,
            "request_id": "request-2",
            "logging.googleapis.com/trace": f"projects/example-project/traces/{'2' * 32}",
            "logging.googleapis.com/spanId": f"{17:016x}",
            "logging.googleapis.com/trace_sampled": False,
        },
    ]


@pytest.mark.usefixtures("root")
def test_without_a_project_lines_have_the_names_of_opentelemetry() -> None:
    (line,) = _logged(None, RequestContext("r", [(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())]))
    assert (line["trace_id"], line["span_id"], line["trace_sampled"]) == (TRACE, SPAN, False)
    assert not [key for key in line if key.startswith("logging.googleapis.com")]


@pytest.mark.usefixtures("root")
def test_a_line_about_another_request_keeps_its_own_id() -> None:
    stream = io.StringIO()
    configure("info", stream=stream)
    set_request(RequestContext("this", [(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())]))
    get_logger("test").info("x", request_id="other")
    line = json.loads(stream.getvalue())
    assert line["request_id"] == "other"
    assert "trace_id" not in line
