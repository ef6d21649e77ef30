"""Which part of an album's history somebody wants to see."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from kheops.domain.mutations import MutationType
from kheops.domain.named_people import NamedPerson
from kheops.ids import CapabilityId, ReportProviderId, SeriesInstanceUID, StudyInstanceUID

__all__ = ["HistoryFilter", "MutationFilter"]


@dataclass(frozen=True, slots=True)
class MutationFilter:
    """Which mutations; ``None`` restricts nothing, and several restrictions hold together."""

    kinds: AbstractSet[MutationType] | None = None
    users: AbstractSet[NamedPerson] | None = None
    """People by whom; nobody is found by a reference that nobody answers to."""
    studies: AbstractSet[StudyInstanceUID] | None = None
    series: AbstractSet[SeriesInstanceUID] | None = None
    capabilities: AbstractSet[CapabilityId] | None = None
    """Tokens of album scope by which."""
    providers: AbstractSet[ReportProviderId] | None = None
    """Report providers by which, or to which."""
    start: datetime | None = None
    end: datetime | None = None
    """To the second, which is included."""


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Comments, mutations, or both; the default is everything."""

    comments: bool = True
    mutations: MutationFilter | None = MutationFilter()
    """``None`` leaves mutations out."""
