"""How far a long command has come, on standard error where that is a terminal."""

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

__all__ = ["Progress"]

_WIDTH: Final = 30
_PAUSE_SECONDS: Final = 0.2
_MIB: Final = 1024 * 1024


class Progress:
    """A bar over bytes. Threads may share it.

    Parameters
    ----------
    what
        What is being done.
    files, size
        How many files there are, and their bytes; bytes that are not known count as 0.
    shown
        Whether it is shown; by default if standard error is a terminal.
    """

    def __init__(self, what: str, *, files: int, size: int = 0, shown: bool | None = None) -> None:
        self._what = what
        self._files = files
        self._size = size
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._alone = threading.Lock()
        self._files_done = 0
        self._bytes_done = 0
        self._drawn_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._draw()
            sys.stderr.write("\n")

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """Take note of what has been done."""
        with self._alone:
            self._files_done += files
            self._bytes_done += size
            now = time.monotonic()
            if self._shown and now - self._drawn_at > _PAUSE_SECONDS:
                self._drawn_at = now
                self._draw()

    def _draw(self) -> None:
        share = self._bytes_done / self._size if self._size else self._files_done / max(self._files, 1)
        filled = round(min(share, 1) * _WIDTH)
        bar = "#" * filled + "." * (_WIDTH - filled)
        sys.stderr.write(
            f"\r{self._what} [{bar}] {self._files_done}/{self._files} files, {self._bytes_done / _MIB:.1f} MiB"
        )
        sys.stderr.flush()
