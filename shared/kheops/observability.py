"""Structured logs: one JSON object a line, on standard output, without secrets or patient data.

Callers log an event name and fields. Fields are identifiers and numbers; a token, a patient's name or a raw path
never is one, and the text of a caught exception is logged by class only, since drivers put values into their texts.
"""

import json
import logging
import sys
from typing import Any, Final, TextIO

from typing_extensions import override

from kheops.clock import now

__all__ = ["Logger", "configure", "get_logger"]

_RESERVED: Final = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)


class _JsonFormatter(logging.Formatter):
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
        return json.dumps(entry, ensure_ascii=False, default=str)


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


def configure(level: str, *, stream: TextIO | None = None) -> None:
    """Send logs of at least ``level`` to standard output, or to ``stream``; for the start of a process."""
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(_JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Clients log URLs, which contain UIDs and, under /api/link, tokens; Alembic tells at each start what it is.
    for noisy in ("httpx", "httpcore", "aiohttp", "urllib3", "asyncio", "pydicom", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
