"""Which request a piece of work belongs to: its id, and the trace that it is part of.

The entry of a service sets it, and whatever runs for that request finds it: a line of the log, or a part of a trace.
Headers are read when somebody asks for the trace, which for most requests nobody does.
"""

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

__all__ = [
    "RequestContext",
    "TracePosition",
    "current_request",
    "parse_cloud_trace_context",
    "parse_traceparent",
    "set_request",
]

# Compiled when the first line of the log asks for a trace: cold start counts.
_TRACEPARENT: Final = (
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-"
    r"(?P<flags>[0-9a-f]{2})(?P<more>-.{0,256})?"
)
_CLOUD_TRACE: Final = r"(?P<trace>[0-9a-fA-F]{32})/(?P<span>[0-9]{1,20})(?:;o=(?P<options>[01]))?"
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_LARGEST_SPAN: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class TracePosition:
    """A place in a trace.

    Parameters
    ----------
    trace_id
        32 lower-case hexadecimal digits, not all zero.
    span_id
        16 of them.
    sampled
        Whether the trace is kept.
    """

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(value: str) -> TracePosition | None:
    """Return what a ``traceparent`` says (W3C Trace Context section 3.2); ``None`` if it is malformed."""
    match = re.fullmatch(_TRACEPARENT, value)
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"] is not None):
        return None
    return _position(match["trace"], match["span"], sampled=bool(int(match["flags"], 16) & 1))


def parse_cloud_trace_context(value: str) -> TracePosition | None:
    """Return what an ``X-Cloud-Trace-Context`` says (Cloud Trace, "Trace context"); ``None`` if it is malformed.

    Its span is a decimal number, and without ``;o=1`` the trace is not kept.
    """
    match = re.fullmatch(_CLOUD_TRACE, value)
    if match is None:
        return None
    span = int(match["span"])
    if span > _LARGEST_SPAN:
        return None
    return _position(match["trace"].lower(), f"{span:016x}", sampled=match["options"] == "1")


class RequestContext:
    """One request, as far as logs and traces name it.

    Parameters
    ----------
    request_id
        What ``X-Request-Id`` of the answer says.
    headers
        The raw headers of the request, lower-case names.
    """

    __slots__ = ("_headers", "_parent", "_read", "request_id", "span", "spans")

    def __init__(self, request_id: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.request_id = request_id
        self._headers = headers
        self._read = False
        self._parent: TracePosition | None = None
        self.span: TracePosition | None = None
        """Where our own part of the trace begins; ``None`` where nothing is traced."""
        self.spans = 0
        """How many parts it has."""

    @property
    def parent(self) -> TracePosition | None:
        """Where the request says it comes from: ``traceparent``, or else ``X-Cloud-Trace-Context``.

        A header that is malformed or given more than once counts as absent. What it says is for finding things
        again, and decides nothing: anybody may send it.
        """
        if not self._read:
            self._read = True
            self._parent = _only(self._headers, b"traceparent", parse_traceparent) or _only(
                self._headers, b"x-cloud-trace-context", parse_cloud_trace_context
            )
        return self._parent

    @property
    def position(self) -> TracePosition | None:
        """Where the request is in its trace: in our own part of it, or else where it comes from."""
        return self.span or self.parent


_CURRENT: Final[ContextVar[RequestContext | None]] = ContextVar("request", default=None)


def current_request() -> RequestContext | None:
    """Return the request that the running code works for; ``None`` if it works for none."""
    return _CURRENT.get()


def set_request(context: RequestContext | None) -> None:
    """Say for which request the running task, or thread, works from now on."""
    _CURRENT.set(context)


def _only(
    headers: Iterable[tuple[bytes, bytes]], name: bytes, parse: Callable[[str], TracePosition | None]
) -> TracePosition | None:
    values = [value for key, value in headers if key == name]
    return parse(values[0].decode("latin-1")) if len(values) == 1 else None


def _position(trace_id: str, span_id: str, *, sampled: bool) -> TracePosition | None:
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TracePosition(trace_id, span_id, sampled)
