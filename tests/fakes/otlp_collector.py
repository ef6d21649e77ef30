"""A collector of traces and metrics: OTLP over HTTP in protobuf, gzipped or not, as the specification says it.

It has the two paths and what a success answers; nothing of partial success, JSON or gRPC.
"""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fakes.loopback import Answer, Asked, serve

__all__ = ["Collector", "Point", "attributes_of", "running_collector"]


@dataclass(frozen=True, slots=True)
class Point:
    """The last that was told of a metric for some attributes."""

    attributes: Mapping[str, object]
    value: float
    """Of a histogram, how many there were."""


@dataclass
class Collector:
    """What has come."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    resources: list[Mapping[str, object]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    """Each body, unpacked."""
    refuses: int | None = None
    """With which status everything is refused."""
    _metrics: dict[tuple[object, str], Metric] = field(default_factory=dict)

    def points(self, name: str) -> list[Point]:
        """Return the newest points of a metric, of all processes that told of it."""
        found = []
        for (_, each), metric in self._metrics.items():
            if each != name:
                continue
            kind = metric.WhichOneof("data")
            assert kind is not None
            for point in getattr(metric, kind).data_points:
                value = point.count if kind == "histogram" else (point.as_int or point.as_double)
                found.append(Point(attributes_of(point.attributes), value))
        return found

    def names(self) -> set[str]:
        """Return the names of all metrics."""
        return {name for _, name in self._metrics}

    def take(self, asked: Asked) -> Answer:
        """Take an export."""
        if self.refuses is not None:
            return Answer({}, self.refuses)
        body = gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
        self.headers.append(asked.headers)
        self.raw.append(body)
        if asked.path == "/v1/traces":
            for traces in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes_of(traces.resource.attributes))
                self.spans.extend(span for scope in traces.scope_spans for span in scope.spans)
        elif asked.path == "/v1/metrics":
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                resource = attributes_of(metrics.resource.attributes)
                self.resources.append(resource)
                for scope in metrics.scope_metrics:
                    for metric in scope.metrics:
                        self._metrics[resource["service.instance.id"], metric.name] = metric
        else:
            return Answer({}, 404)
        return Answer({})


def attributes_of(pairs: "list[KeyValue]") -> Mapping[str, object]:
    """Return attributes by their names."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()
    with serve(collector.take) as url:
        collector.url = url
        yield collector
