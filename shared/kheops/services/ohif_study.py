"""A study as OHIF's first versions read it: its series and instances, with the address of each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage.catalog_search import Found

__all__ = ["ohif_study"]


def ohif_study(
    study: StudyInstanceUID, found: Sequence[Found], *, api_root: str, first: SeriesInstanceUID | None
) -> Mapping[str, object]:
    """Return KHEOPS's ``ohifmetadata`` of a study; attributes without a value are left out.

    Parameters
    ----------
    study
        The study.
    found
        Its visible instances, one at least, as a search found them, in the order of their numbers.
    api_root
        Where the addresses of instances start.
    first
        The series that is to stand at the head, if it is there; the others follow by their numbers.
    """
    instances: dict[SeriesInstanceUID, list[Found]] = defaultdict(list)
    for each in found:
        instances[SeriesInstanceUID(str(each["SeriesInstanceUID"]))].append(each)
    order = sorted(instances, key=lambda uid: (uid != first, *_number(instances[uid][0]), uid))
    return _present(
        {
            "studyInstanceUID": study,
            "studyInstanceUid": study,
            "patientName": _alphabetic(found[0].get("PatientName")),
            "seriesList": [
                _present(
                    {
                        "seriesInstanceUid": uid,
                        "seriesDescription": instances[uid][0].get("SeriesDescription"),
                        "instances": [_instance(study, uid, each, api_root) for each in instances[uid]],
                    }
                )
                for uid in order
            ],
        }
    )


def _instance(study: StudyInstanceUID, series: SeriesInstanceUID, found: Found, api_root: str) -> dict[str, object]:
    uid = SopInstanceUID(str(found["SOPInstanceUID"]))
    named = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={uid}"
    address = f"{api_root}/wado?{named}&contentType=application/dicom"
    return _present(
        {
            "sopInstanceUid": uid,
            "rows": _integer(found.get("Rows")),
            "columns": _integer(found.get("Columns")),
            "url": f"wadouri:{address}",
        }
    )


def _number(found: Found) -> tuple[bool, int]:
    number = _integer(found.get("SeriesNumber"))
    return (number is None, number or 0)


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _alphabetic(name: object) -> str | None:
    return None if name is None else str(name).partition("=")[0] or None


def _present(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
