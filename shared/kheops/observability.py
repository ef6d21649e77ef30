"""Structured logs: one JSON object a line, on standard output, without secrets or patient data.

A line that belongs to a request has its id, and the trace that it is part of, under the names that Cloud Logging knows
("Structured logging", special JSON fields), or under OpenTelemetry's where there is no project of Google.

Callers log an event name and fields. Fields are identifiers and numbers; a token, a patient's name or a raw path
never is one, and the text of a caught exception is logged by class only, since drivers put values into their texts.
"""

import json
import logging
import sys
from typing import Any, Final, TextIO

from typing_extensions import override

from kheops.clock import now
from kheops.request_context import current_request

__all__ = ["Logger", "configure", "get_logger"]

_RESERVED: Final = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)

_NOTICE: Final = logging.CRITICAL + 10
"""Above all levels, so that no level leaves it out; its name is the severity of Cloud Logging above INFO."""
logging.addLevelName(_NOTICE, "NOTICE")


class _JsonFormatter(logging.Formatter):
    def __init__(self, google_project: str | None = None) -> None:
        super().__init__()
        self._google_project = google_project

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": now().isoformat(),
            "severity": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        entry.update({key: value for key, value in record.__dict__.items() if key not in _RESERVED})
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = record.exc_info[0].__name__
            entry["stack"] = _frames(record)
        entry.update(_of_request(self._google_project, entry.get("request_id")))
        return json.dumps(entry, ensure_ascii=False, default=str)


def _of_request(google_project: str | None, request_id: object) -> dict[str, Any]:
    """Return the fields that say which request, of which trace, a line belongs to."""
    context = current_request()
    # A line may name another request, as one of an answer to several does.
    if context is None or request_id not in (None, context.request_id):
        return {}
    fields: dict[str, Any] = {"request_id": context.request_id}
    position = context.position
    if position is None:
        return fields
    if google_project is None:
        return fields | {"trace_id": position.trace_id, "span_id": position.span_id, "trace_sampled": position.sampled}
    return fields | {
        "logging.googleapis.com/trace": f"projects/{google_project}/traces/{position.trace_id}",
        "logging.googleapis.com/spanId": position.span_id,
        "logging.googleapis.com/trace_sampled": position.sampled,
    }


def _frames(record: logging.LogRecord) -> list[str]:
    assert record.exc_info is not None
    frames = []
    traceback = record.exc_info[2]
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames


class Logger:
    """Logs events with fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Log something of use only when looking for a fault."""
        self._logger.debug(event, extra=fields)

    def info(self, event: str, **fields: object) -> None:
        """Log something that happened as it should."""
        self._logger.info(event, extra=fields)

    def notice(self, event: str, **fields: object) -> None:
        """Log something that is kept for later, whatever the level is."""
        self._logger.log(_NOTICE, event, extra=fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log something that somebody should know of."""
        self._logger.warning(event, extra=fields)

    def error(self, event: str, **fields: object) -> None:
        """Log a fault."""
        self._logger.error(event, extra=fields)

    def exception(self, event: str, **fields: object) -> None:
        """Log a fault with the caught exception's class and frames, but not its text."""
        self._logger.error(event, extra=fields, exc_info=sys.exc_info())


def get_logger(name: str) -> Logger:
    """Return the logger of a module."""
    return Logger(name)


def configure(level: str, *, stream: TextIO | None = None, google_project: str | None = None) -> None:
    """Send logs of at least ``level`` to standard output, or to ``stream``; for the start of a process.

    ``google_project`` is the one whose Cloud Trace has the traces that lines name.
    """
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(_JsonFormatter(google_project))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Clients log URLs, which contain UIDs and, under /api/link, tokens; Alembic tells at each start what it is.
    for noisy in ("httpx", "httpcore", "aiohttp", "urllib3", "asyncio", "pydicom", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
