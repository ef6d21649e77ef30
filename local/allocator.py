"""The settings of glibc's allocator with which our services run, in the image and wherever else they are started."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ALLOCATOR"]

ALLOCATOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "MALLOC_TRIM_THRESHOLD_": "8388608",
    }
)
"""Variables of the environment (mallopt(3)); the Dockerfile has the same, which a test compares.

Pieces from 1 MiB on, such as the parts of an upload, are given back to the kernel when they are freed. Without a fixed
threshold the first of them raises it to its own size, and from then on they lie between small objects in arenas that
no longer shrink: a process that stored a few hundred files kept 60 MiB more. Up to 8 MiB at the end of an arena are
kept, so that the pieces of frames are not fetched from the kernel again for each of them.
"""
