"""The recorder that sends traces and metrics to a collector, by OTLP over HTTP. All of the package that knows the SDK.

Everything is handed over to threads of the SDK by bounded queues and aggregates: a collector that is slow or dead
costs neither a request nor memory, only what could not be sent.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from typing_extensions import override

from kheops.observability import get_logger
from kheops.request_context import RequestContext, TracePosition, current_request
from kheops.telemetry.signals import NO_PART, Count, Level, Part

if TYPE_CHECKING:  # being imported, it opens a socket
    import requests

__all__ = ["OtlpRecorder"]

_LOG = get_logger(__name__)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds of the histogram of durations: from a frame to a study as a whole."""
_QUEUE: Final = 2048
"""Finished spans that wait; further ones are dropped."""
_BATCH: Final = 512
_EXPORT_SECONDS: Final = 10.0
"""For one export with all of its tries."""
_SPAN_SECONDS: Final = 5.0
"""From one export of spans to the next."""
_PARTS: Final = 200
"""Parts of one trace: a download of thousands of instances would push all others out of the queue."""
_FORCED_EACH_SECONDS: Final = 1.0
"""Callers can ask for their requests to be traced; this often that is done."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR: Final = 500


class OtlpRecorder:
    """Records traces and metrics, and sends them to a collector until it is closed.

    What it sends describes itself by OpenTelemetry's own variables, which the SDK reads: ``OTEL_SERVICE_NAME``,
    ``OTEL_RESOURCE_ATTRIBUTES``; and it is sent as ``OTEL_EXPORTER_OTLP_HEADERS``, ``_CERTIFICATE`` and so on say, the
    metrics each ``OTEL_METRIC_EXPORT_INTERVAL`` milliseconds.

    Parameters
    ----------
    endpoint
        The collector's root; ``/v1/traces`` and ``/v1/metrics`` are below it (OTLP 1.x, "OTLP/HTTP request").
    trace_ratio
        Share of requests that are traced, from 0 to 1.
    session
        What makes that which sends; `kheops.telemetry.collector.session_for` returns it.
    attributes
        Of the resource, beside those of the variables.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        trace_ratio: float,
        session: "Callable[[], requests.Session]",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        # Its words hold addresses and what the collector answered; `_Watch` says what there is to say.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        resource = Resource({"service.name": "kheops"}).merge(OTELResourceDetector().detect())
        resource = resource.merge(Resource({**(attributes or {}), "service.instance.id": str(uuid.uuid4())}))
        self._trace_ratio = trace_ratio
        self._forced_at = float("-inf")
        self._traces = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(
            BatchSpanProcessor(
                _SpanExporter(f"{endpoint}/v1/traces", session()),
                max_queue_size=_QUEUE,
                schedule_delay_millis=_SPAN_SECONDS * 1000,
                max_export_batch_size=_BATCH,
            )
        )
        self._metrics = MeterProvider(
            [
                PeriodicExportingMetricReader(
                    _MetricExporter(f"{endpoint}/v1/metrics", session()),
                    export_timeout_millis=_EXPORT_SECONDS * 1000,
                )
            ],
            resource=resource,
            shutdown_on_exit=False,
        )
        self._tracer = self._traces.get_tracer("kheops")
        self._meter = self._metrics.get_meter("kheops")
        self._counts = {
            each: self._meter.create_counter(each.value[0], each.value[1], each.value[2]) for each in Count
        }
        self._levels = {
            each: self._meter.create_gauge(each.value[0], each.value[1], each.value[2])
            for each in (Level.OUTBOX_BACKLOG,)
        }
        self._duration = self._meter.create_histogram(
            "http.server.request.duration",
            "s",
            "From the head of a request to the last byte of its answer.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def count(self, what: Count, amount: int, attributes: dict[str, str]) -> None:
        """Add to a count."""
        self._counts[what].add(amount, attributes)

    def level(self, what: Level, value: int) -> None:
        """Set a level."""
        self._levels[what].set(value)

    def watch(self, what: Level, read: Callable[[], int]) -> None:
        """Read a level whenever metrics are sent."""

        def observe(_: CallbackOptions) -> list[Observation]:
            return [Observation(read())]

        name, unit, about = what.value
        self._meter.create_observable_gauge(name, [observe], unit, about)

    def part(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Part]:
        """Begin a part of the trace of the running request, if that is traced and has not too many parts."""
        context = current_request()
        if context is None or context.span is None or context.spans >= _PARTS:
            return NO_PART
        context.spans += 1
        inside = set_span_in_context(_placed(context.span))
        span = self._tracer.start_span(name, inside, SpanKind.CLIENT, attributes)
        return _OpenPart(span)

    def request(self, context: RequestContext, *, method: str) -> "_OpenRequest":
        """Begin a request, and its trace if it is one of those that are traced."""
        known = method if method in _METHODS else "_OTHER"
        parent = context.parent
        span = None
        if self._is_traced(parent):
            around = None if parent is None else set_span_in_context(_placed(parent))
            span = self._tracer.start_span(known, around, SpanKind.SERVER, {"http.request.method": known})
            made = span.get_span_context()
            context.span = TracePosition(f"{made.trace_id:032x}", f"{made.span_id:016x}", sampled=True)
        return _OpenRequest(self, span, context.request_id, known)

    def close(self, seconds: float = 5.0) -> None:
        """Send what is there and end, within ``seconds`` whatever the collector does."""
        # The SDK's own limits do not hold where a connection hangs.
        endings = [
            threading.Thread(target=provider.shutdown, name="telemetry-end", daemon=True)
            for provider in (self._metrics, self._traces)
        ]
        until = time.monotonic() + seconds
        for each in endings:
            each.start()
        for each in endings:
            each.join(max(0.0, until - time.monotonic()))

    def _is_traced(self, parent: TracePosition | None) -> bool:
        if random.random() < self._trace_ratio:  # noqa: S311 - a sample
            return True
        if parent is None or not parent.sampled or self._trace_ratio == 0:
            return False
        now = time.monotonic()
        if now - self._forced_at < _FORCED_EACH_SECONDS:
            return False
        self._forced_at = now
        return True

    def ended(self, *, attributes: dict[str, str], seconds: float, request_bytes: int, response_bytes: int) -> None:
        """Take a request that has ended into the metrics."""
        self._duration.record(seconds, attributes)
        if request_bytes:
            self._counts[Count.REQUEST_BYTES].add(request_bytes, attributes)
        if response_bytes:
            self._counts[Count.RESPONSE_BYTES].add(response_bytes, attributes)


class _OpenPart(AbstractContextManager[Part]):
    """A part that is under way; it ends with its context, and names the class of what was raised."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def tell(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)


class _OpenRequest:
    """A request that is being answered."""

    __slots__ = ("_begun", "_method", "_recorder", "_request_id", "_span")

    def __init__(self, recorder: OtlpRecorder, span: Span | None, request_id: str, method: str) -> None:
        self._recorder = recorder
        self._span = span
        self._request_id = request_id
        self._method = method
        self._begun = time.perf_counter()

    def end(
        self,
        *,
        route: str | None,
        status: int | None,
        error: str | None,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        attributes = {"http.request.method": self._method}
        if route is not None:
            attributes["http.route"] = route
        if status is not None:
            attributes["kheops.status_class"] = f"{status // 100}xx"
        if error is not None:
            attributes["error.type"] = error
        seconds = time.perf_counter() - self._begun
        self._recorder.ended(
            attributes=attributes, seconds=seconds, request_bytes=request_bytes, response_bytes=response_bytes
        )
        span = self._span
        if span is None:
            return
        if route is not None:
            span.update_name(f"{self._method} {route}")
        span.set_attributes({**attributes, "kheops.request_id": self._request_id})
        span.set_attribute("http.response.body.size", response_bytes)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= _SERVER_ERROR or error == "CutError":
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Watch:
    """Says once that a collector takes nothing, and once that it does again."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._fails = False

    def heard(self, *, taken: bool) -> None:
        if not taken and not self._fails:
            _LOG.warning("telemetry.not_exported", signal=self._signal)
        elif taken and self._fails:
            _LOG.info("telemetry.exported_again", signal=self._signal)
        self._fails = not taken


class _SpanExporter(OTLPSpanExporter):
    def __init__(self, endpoint: str, session: "requests.Session") -> None:
        super().__init__(endpoint, timeout=_EXPORT_SECONDS, compression=Compression.Gzip, session=session)
        self._watch = _Watch("traces")

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._watch.heard(taken=result is SpanExportResult.SUCCESS)
        return result


class _MetricExporter(OTLPMetricExporter):
    def __init__(self, endpoint: str, session: "requests.Session") -> None:
        super().__init__(endpoint, timeout=_EXPORT_SECONDS, compression=Compression.Gzip, session=session)
        self._watch = _Watch("metrics")

    @override
    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = None, **kwargs: object
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._watch.heard(taken=result is MetricExportResult.SUCCESS)
        return result


def _placed(position: TracePosition) -> NonRecordingSpan:
    return NonRecordingSpan(
        SpanContext(
            int(position.trace_id, 16),
            int(position.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if position.sampled else TraceFlags.DEFAULT),
        )
    )
