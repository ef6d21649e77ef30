"""The JSON bodies that webhooks get, with KHEOPS's field names; fields that have nothing to say are left out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kheops.ids import AlbumId, StudyInstanceUID
from kheops.storage.participants import Participant
from kheops.storage.webhook_subjects import Attributes, Doer

__all__ = ["common_json", "person_json", "study_json", "with_retrieve_urls"]

_STUDY: Final = {
    "patient_name": "patient_name",
    "patient_ID": "patient_id",
    "study_date": "study_date",
    "study_time": "study_time",
    "timezone_offset_from_utc": "timezone_offset_from_utc",
    "study_description": "study_description",
    "study_id": "study_id",
    "accession_number": "accession_number",
    "referring_physician_name": "referring_physician_name",
    "patient_birth_date": "patient_birth_date",
    "patient_sex": "patient_sex",
}
_SERIES: Final = {
    "modality": "modality",
    "series_description": "series_description",
    "series_uid": "series_instance_uid",
    "number_of_series_related_instances": "number_of_instances",
    "time_zone_offset_from_utc": "timezone_offset_from_utc",
    "series_number": "series_number",
    "body_part_examined": "body_part_examined",
}


def common_json(
    *, host: str, album: AlbumId, event_time: datetime, source: Doer | None, is_manual: bool
) -> dict[str, object]:
    """Return what every body has.

    Parameters
    ----------
    host
        The public root.
    album
        The album.
    event_time
        When it happened; written in UTC without a zone, as all times of albums are.
    source
        Who did it, as far as the album may know.
    is_manual
        Whether somebody asked for it to try the webhook.
    """
    return {
        "host": host,
        "album_id": album,
        "event_time": event_time.astimezone(UTC).replace(tzinfo=None).isoformat(),
        **({} if source is None else {"source": _source_json(source)}),
        "is_manual_trigger": is_manual,
    }


def person_json(person: Participant) -> dict[str, object]:
    """Return a person; an address that nobody vouches for is left out."""
    fields = {"email": person.email, "name": person.name, "sub": person.sub, "is_admin": person.is_admin}
    return {name: value for name, value in fields.items() if value is not None}


def study_json(
    study: StudyInstanceUID, series: Sequence[Attributes], new_instances: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return a study with some of its series; its own attributes are those of the first.

    Parameters
    ----------
    study
        The study.
    series
        Attributes of its series, at least one.
    new_instances
        How many instances of each series are new, by its UID; ``None`` where that means nothing.
    """
    return {
        "study_uid": study,
        **(_named(_STUDY, series[0]) if series else {}),
        "series": [
            {
                **_named(_SERIES, each),
                **(
                    {}
                    if new_instances is None
                    else {"number_of_new_instances": new_instances[each["series_instance_uid"]]}
                ),
            }
            for each in series
        ],
    }


def with_retrieve_urls(study: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return a study of `study_json` with the addresses of itself and its series."""
    url = f"{host}/api/studies/{study['study_uid']}"
    series = [{**each, "retrieve_url": f"{url}/series/{each['series_uid']}"} for each in study["series"]]
    return {**study, "retrieve_url": url, "series": series}


def _source_json(source: Doer) -> dict[str, object]:
    told = person_json(source.person)
    if source.capability is not None:
        token, title = source.capability
        told["capability_token"] = {"id": token, "title": title}
    if source.provider is not None:
        client, name = source.provider
        told["report_provider"] = {"name": name, "client_id": client}
    return told


def _named(names: Mapping[str, str], attributes: Attributes) -> dict[str, object]:
    return {name: attributes[column] for name, column in names.items() if attributes[column] not in {None, ""}}
