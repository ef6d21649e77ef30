"""Versions of a secret: which are in use beside each other, and which one new things are made with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

__all__ = ["SecretUnreadableError", "SecretVersion", "in_use", "signing"]

_K = TypeVar("_K")


class SecretUnreadableError(Exception):
    """A secret cannot be had. Its text says why in plain words, without the value."""


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One value of a secret, and when it was made (aware)."""

    value: str = field(repr=False)
    since: datetime


def in_use(versions: Sequence[tuple[_K, datetime]], *, now: datetime, overlap: timedelta) -> list[tuple[_K, datetime]]:
    """Return the versions to use: the newest, and each whose successor is younger than ``overlap``.

    Parameters
    ----------
    versions
        Anything with the time at which it was made, the newest first.
    now
        The current time.
    overlap
        How long a version is used on beside its successor.
    """
    used = list(versions[:1])
    for successor, version in pairwise(versions):
        if now - successor[1] >= overlap:
            break
        used.append(version)
    return used


def signing(versions: Sequence[SecretVersion], *, now: datetime, settle: timedelta) -> SecretVersion:
    """Return the version that new things are made with: the newest that every process has seen by now.

    Parameters
    ----------
    versions
        Those in use, the newest first; at least one.
    now
        The current time.
    settle
        How long it takes until every process has read a new version. Until then the one before it is used: what one
        process made with the new one, another could not verify.
    """
    for version in versions:
        if now - version.since >= settle:
            return version
    return versions[-1]
