"""``/metrics``."""

from typing import Final

from starlette.responses import Response

from kheops.services.metrics import Metrics
from kheops.web.api.answers import Json, json_of
from kheops.web.api.parameters import query_of
from kheops.web.call import Call
from kheops.web.declaration import Declaration, json_answer
from kheops.web.schema import COUNT, Schema, list_of, record

__all__ = ["METRICS", "metrics"]


def _histogram(size: str, number: str) -> Schema:
    return list_of(record({size: COUNT, number: COUNT}))


METRICS: Final = Declaration(
    "Count everything there is, for administrators of the installation",
    json_answer(
        "The counts.",
        {
            "type": "object",
            "properties": {
                "users_in_album_histogram": _histogram("nb_users", "nb_albums"),
                "series_in_album_histogram": _histogram("nb_series", "nb_albums"),
                "series_in_study_histogram": _histogram("nb_series", "nb_studies"),
            },
            "required": ["users_in_album_histogram", "series_in_album_histogram", "series_in_study_histogram"],
            "additionalProperties": COUNT,
        },
    ),
)


async def metrics(call: Call) -> Response:
    query_of(call)
    return json_of(_json(await call.process.counting.everything(call.principal)))


def _json(counted: Metrics) -> Json:
    """Return counts under KHEOPS's names."""
    return {
        **counted.counts,
        "users_in_album_histogram": [
            {"nb_users": size, "nb_albums": number} for size, number in counted.users_in_albums
        ],
        "series_in_album_histogram": [
            {"nb_series": size, "nb_albums": number} for size, number in counted.series_in_albums
        ],
        "series_in_study_histogram": [
            {"nb_series": size, "nb_studies": number} for size, number in counted.series_in_studies
        ],
    }
