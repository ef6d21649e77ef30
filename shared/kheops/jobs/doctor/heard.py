"""What the code under examination logged: it tells callers less than whoever runs it needs."""

import logging
from types import TracebackType
from typing import Self

from typing_extensions import override

__all__ = ["Heard"]


class Heard(logging.Handler):
    """Takes the log of ``kheops`` for the time of an examination; nothing else gets it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[logging.LogRecord] = []
        self._logger = logging.getLogger("kheops")
        self._propagated = True
        self._level = logging.NOTSET

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def __enter__(self) -> Self:
        self._propagated, self._logger.propagate = self._logger.propagate, False
        # Whatever an installation logs: KHEOPS_LOG_LEVEL would leave us deaf.
        self._level = self._logger.level
        self._logger.setLevel(logging.WARNING)
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated
        self._logger.setLevel(self._level)

    def has(self, event: str) -> bool:
        """Return whether there was an event of a name."""
        return any(record.getMessage() == event for record in self._records)

    def last_error(self, event: str) -> str | None:
        """Return the class of the exception in the latest event of a name; ``None`` if there was none."""
        for record in reversed(self._records):
            if record.getMessage() == event and record.exc_info is not None and record.exc_info[0] is not None:
                return record.exc_info[0].__name__
        return None

    def last(self, event: str, field: str) -> str | None:
        """Return a field of the latest event of a name; ``None`` if there was none."""
        for record in reversed(self._records):
            if record.getMessage() == event:
                value = getattr(record, field, None)
                return None if value is None else str(value)
        return None
