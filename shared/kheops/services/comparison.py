"""Whether what is stored contradicts the study or series on record (failure reason 0x0106).

Two values contradict each other only where both are there. What is compared are the attributes that KHEOPS compares,
with what the caller may read: the series itself where it is on record, else the series of the study that a search
shows its attributes of. Whoever may not read learns nothing, and is not stopped either.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection

from kheops.dicomweb.attributes import BY_KEYWORD, Attribute, Tag, comparable_time
from kheops.dicomweb.part10 import Head
from kheops.domain.policy import Denied, Source, read_scope
from kheops.domain.principals import Principal
from kheops.domain.resources import SeriesRef
from kheops.storage import recorded_attributes

__all__ = ["SERIES_ATTRIBUTES", "STUDY_ATTRIBUTES", "Comparison"]


def _named(*keywords: str) -> tuple[Attribute, ...]:
    return tuple(BY_KEYWORD[keyword] for keyword in keywords)


STUDY_ATTRIBUTES: Final = _named(
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
SERIES_ATTRIBUTES: Final = _named("Modality", "SeriesDescription", "BodyPartExamined", "SeriesNumber")

_OF_NAMES_NOTHING: Final = str.maketrans("", "", "^= ")


class Comparison:
    """Compares the instances of one upload.

    What was not on record when the upload first met it is never compared within that upload: else it would depend on
    how its parts fell into batches whether they are compared with each other.

    Parameters
    ----------
    principal
        Who stores.
    """

    def __init__(self, principal: Principal) -> None:
        scope = read_scope(principal, Source())
        self._scope = None if isinstance(scope, Denied) else scope
        self._new: set[str] = set()

    def conflicts(self, tx: Connection, head: Head) -> tuple[Tag, ...]:
        """Return the attributes of an instance that contradict what is on record, in the order of their tags."""
        if self._scope is None or head.study_instance_uid in self._new:
            return ()
        ref = SeriesRef(head.study_instance_uid, head.series_instance_uid)
        is_new = head.series_instance_uid in self._new
        record = recorded_attributes.find(tx, self._scope, ref, but_of_series=is_new)
        if record is None:
            self._new.add(ref.study_instance_uid)
            return ()
        found = _differing(STUDY_ATTRIBUTES, head.patient_study, record.attributes)
        if record.ref == ref:
            found += _differing(SERIES_ATTRIBUTES, head.series, record.attributes)
        else:
            self._new.add(ref.series_instance_uid)
        return tuple(sorted(found))


def _differing(attributes: Iterable[Attribute], sent: Mapping[str, str], on_record: Mapping[str, str]) -> list[Tag]:
    return [
        attribute.tag
        for attribute in attributes
        if (mine := _comparable(attribute, sent.get(attribute.keyword)))
        and (theirs := _comparable(attribute, on_record.get(attribute.keyword)))
        and mine != theirs
    ]


def _comparable(attribute: Attribute, value: str | None) -> str:
    """Return a value in a form that is equal where the meaning is; empty if there is none."""
    if not value:
        return ""
    match attribute.vr:
        case "PN":
            return value.translate(_OF_NAMES_NOTHING)
        case "TM":
            return comparable_time(value)
        case _:
            return value
