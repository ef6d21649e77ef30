"""What a collector and the log get of the services as they run, and what they never get."""

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_files import a_file, new_uid
from tests.fakes.otlp_collector import Collector, attributes_of, running_collector
from tests.postgres import Server
from tests.system.running import System, start_system

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT_ONCE = 16
FRAMES = "/api/studies/{study}/series/{series}/instances/{instance}"


@dataclass
class Run:
    """What a system told of a few requests, after it ended."""

    system: System
    collector: Collector
    uids: tuple[str, str, str]
    refused: str
    """The id of a refused request that came with a trace."""
    concurrent: dict[str, str]
    """The trace of each request of many at once, by its id."""
    size: int
    """Bytes of the stored file."""
    log: str

    def server_spans(self) -> dict[str, dict[str, object]]:
        return {span.name: dict(attributes_of(span.attributes)) for span in self.collector.spans if span.kind == 2}

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith('{"time"')]


@pytest.fixture(scope="module")
def run(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    settings = {
        "KHEOPS_TRACE_RATIO": "1",
        "KHEOPS_GOOGLE_PROJECT": "example-project",
        "OTEL_SERVICE_NAME": "kheops-of-a-test",
        # Only what is sent at the end counts.
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }
    study, series, instance = new_uid(), new_uid(), new_uid()
    path = f"/studies/{study}/series/{series}/instances/{instance}"
    with running_collector() as collector:
        settings["KHEOPS_OTLP_ENDPOINT"] = collector.url
        with start_system(postgres, tmp_path_factory.mktemp("telemetry"), settings=settings) as system:
            content = a_file(study=study, series=series, instance=instance, PatientName="Xq^Unmistakable")
            assert system.store_files("alice", content).status_code == 200
            with system.client("alice") as alice:
                assert alice.get(path, headers={"Accept": "application/dicom"}).status_code == 200
                assert alice.get("/studies", params={"PatientName": "Xq^Unmistakable"}).status_code == 200
                album = alice.post("/albums", data={"name": "Hearts of Xq"}).json()["album_id"]
                assert alice.get(f"/albums/{album}").status_code == 200
            with system.client("bob") as bob:
                assert bob.get(path).status_code == 404
                assert bob.get(f"/albums/{album}").status_code == 404
                assert bob.get(f"/nowhere/{study}").status_code == 404
                assert bob.get(f"/link/not-{'a' * 20}/studies").status_code == 401
            with system.client(token="no-token-at-all") as nobody:
                refused = nobody.get("/studies", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
                assert refused.status_code == 401
                with ThreadPoolExecutor(AT_ONCE) as threads:
                    traces = [f"{number:032x}" for number in range(1, AT_ONCE + 1)]
                    asked = [
                        threads.submit(
                            nobody.get, "/studies", headers={"x-cloud-trace-context": f"{trace}/{int(trace, 16)};o=1"}
                        )
                        for trace in traces
                    ]
                    concurrent = {
                        one.result().headers["x-request-id"]: trace for one, trace in zip(asked, traces, strict=True)
                    }
            log = system.services.log
            system.services.stop()
            system.secrets_used.add(album)
            yield Run(
                system=system,
                collector=collector,
                uids=(study, series, instance),
                refused=refused.headers["x-request-id"],
                concurrent=concurrent,
                size=len(content),
                log=log.read_text("utf-8"),
            )


def test_each_request_is_a_span_named_by_its_template(run: Run) -> None:
    spans = run.server_spans()
    assert {
        "POST /api/studies",
        "GET /api/studies",
        f"GET {FRAMES}",
        "POST /api/albums",
        "GET /api/albums/{album}",
        "GET /api/link/{token}/studies",
    } <= set(spans)
    assert spans[f"GET {FRAMES}"]["http.request.method"] == "GET"
    # The last of that name was Bob's.
    assert spans[f"GET {FRAMES}"]["http.response.status_code"] == 404
    assert spans["POST /api/studies"]["http.response.status_code"] == 200


def test_store_calls_and_units_of_work_are_parts_of_their_request(run: Run) -> None:
    servers = {span.span_id: span.name for span in run.collector.spans if span.kind == 2}
    parts: dict[str, set[str]] = {}
    for span in run.collector.spans:
        if span.kind == 3:
            parts.setdefault(servers[span.parent_span_id], set()).add(span.name)
    assert {"store", "lookup"} <= parts[f"GET {FRAMES}"]
    assert {"store", "unit of work"} <= parts["POST /api/studies"]
    assert "unit of work" in parts["POST /api/albums"]
    work = {attributes_of(span.attributes).get("code.function.name") for span in run.collector.spans}
    assert any(str(name).startswith("Albums.create") for name in work)


def test_a_request_goes_on_with_the_trace_that_it_came_with(run: Run) -> None:
    (span,) = [span for span in run.collector.spans if span.trace_id.hex() == TRACE and span.kind == 2]
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    attributes = attributes_of(span.attributes)
    assert attributes["kheops.request_id"] == run.refused
    assert attributes["error.type"] == "invalid-token"


def test_a_line_names_the_request_and_its_span_as_cloud_logging_reads_it(run: Run) -> None:
    (span,) = [span for span in run.collector.spans if span.trace_id.hex() == TRACE and span.kind == 2]
    (line,) = [
        line
        for line in run.lines()
        if line["event"] == "request.unauthenticated" and line["request_id"] == run.refused
    ]
    assert line["severity"] == "INFO"
    assert line["logging.googleapis.com/trace"] == f"projects/example-project/traces/{TRACE}"
    assert line["logging.googleapis.com/spanId"] == span.span_id.hex()
    assert line["logging.googleapis.com/trace_sampled"] is True


def test_lines_of_requests_at_once_are_not_mixed_up(run: Run) -> None:
    found = {
        line["request_id"]: str(line["logging.googleapis.com/trace"]).rpartition("/")[2]
        for line in run.lines()
        if line.get("request_id") in run.concurrent
    }
    assert found == run.concurrent


def test_metrics_are_sent_when_a_process_ends(run: Run) -> None:
    collector = run.collector
    assert {
        "http.server.request.duration",
        "kheops.http.request.bytes",
        "kheops.http.response.bytes",
        "kheops.denials",
        "kheops.issuer.key_fetches",
        "kheops.streams.open",
        "kheops.uploads.held_bytes",
    } <= collector.names()
    answered = Counter[tuple[object, ...]]()
    for point in collector.points("http.server.request.duration"):
        found = (point.attributes.get(name) for name in ("http.request.method", "http.route", "kheops.status_class"))
        answered[*found, point.attributes.get("error.type")] += int(point.value)
    assert answered["GET", FRAMES, "2xx", None] == 1
    assert answered["GET", FRAMES, "4xx", "not-found"] == 1
    assert answered["GET", "/api/studies", "4xx", "invalid-token"] == 1 + AT_ONCE
    assert answered["GET", None, "4xx", "not-found"] == 1
    sizes = [p for p in collector.points("kheops.http.response.bytes") if p.attributes.get("http.route") == FRAMES]
    assert {p.attributes["kheops.status_class"]: p.value >= run.size for p in sizes} == {"2xx": True, "4xx": False}
    taken = {p.attributes.get("http.route"): p.value for p in collector.points("kheops.http.request.bytes")}
    assert taken["/api/studies"] > run.size
    assert {point.attributes["reason"] for point in collector.points("kheops.denials")}
    assert [point.value for point in collector.points("kheops.streams.open")] == [0]
    assert {(point.attributes["outcome"], point.value) for point in collector.points("kheops.issuer.key_fetches")} == {
        ("fetched", 1)
    }
    assert {resource["service.name"] for resource in collector.resources} == {"kheops-of-a-test"}


def test_no_token_name_or_uid_is_sent(run: Run) -> None:
    sent = b"\n".join(run.collector.raw)
    assert len(sent) > 5000
    hidden = [
        *run.uids,
        *run.system.secrets_used,
        "Xq",
        "Unmistakable",
        "alice",
        "bob",
        "example.org",
        "no-token",
        "127.0.0.1",
    ]
    assert [each for each in hidden if each.encode() in sent] == []
    assert re.search(rb"[0-9]+(?:\.[0-9]+){5,}", sent) is None


def test_a_dead_collector_keeps_nothing_waiting(postgres: Server, tmp_path: Path) -> None:
    with socket.socket() as deaf:
        # Connections are taken by the kernel, and nothing ever answers.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        settings = {
            "KHEOPS_TRACE_RATIO": "1",
            "KHEOPS_OTLP_ENDPOINT": f"http://127.0.0.1:{deaf.getsockname()[1]}",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }
        with start_system(postgres, tmp_path, settings=settings) as system:
            with system.client("alice") as alice:
                assert alice.get("/studies").status_code == 200
                time.sleep(0.5)
                begun = time.monotonic()
                assert {alice.get("/studies").status_code for _ in range(20)} == {200}
                assert time.monotonic() - begun < 5
            begun = time.monotonic()
            system.services.stop()
            assert time.monotonic() - begun < 9
            assert system.services.popen.returncode == 0
