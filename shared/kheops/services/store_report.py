"""What a STOW request came to, part by part."""

from dataclasses import dataclass, field
from enum import IntEnum

from kheops.dicomweb.attributes import Tag
from kheops.domain.resources import InstanceRef

__all__ = ["Failed", "FailureReason", "OtherFailure", "StoreReport", "Stored"]


class FailureReason(IntEnum):
    """Failure reasons of the Store transaction (PS3.18 table I.2-2, PS3.4 annex B.2.3)."""

    INVALID_ATTRIBUTE_VALUE = 0x0106
    """Attributes contradict the study or series on record; which, the failure says."""
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    """The client may send the instance again."""
    OTHER_CLASS = 0xA900
    """The file meta information and the data set name different SOP Classes."""
    OTHER_STUDY = 0xA901
    """The instance is not of the study in the request's path."""
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that is confirmed, or was already with the same bytes."""

    ref: InstanceRef
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance that was not stored."""

    sop_instance_uid: str
    sop_class_uid: str
    reason: int
    conflicts: tuple[Tag, ...] = ()
    """The attributes that contradict what is on record."""
    file_id: str | None = None
    """The field of a form that held it."""


@dataclass(frozen=True, slots=True)
class OtherFailure:
    """A part that could not be identified; ``part`` counts from 1."""

    part: int
    reason: int
    file_id: str | None = None
    """The field of a form that held it."""


@dataclass(slots=True)
class StoreReport:
    """All of it, in the order of arrival as far as batches keep it."""

    stored: list[Stored] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    other: list[OtherFailure] = field(default_factory=list)
    file_ids: dict[str, str] = field(default_factory=dict)
    """By SOP Instance UID: which field of a form holds the instance that is on its way."""

    def add(self, failure: Failed | OtherFailure) -> None:
        """Put a failure where it belongs."""
        if isinstance(failure, Failed):
            self.failed.append(failure)
        else:
            self.other.append(failure)

    @property
    def is_whole(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.other
