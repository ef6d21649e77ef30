"""``/orphans``: series that nobody holds, for those who may take them back. KHEOPS has none of it."""

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from kheops.storage.orphans import OwnOrphan
from kheops.web.api.answers import Json, listed, zoned_time
from kheops.web.api.parameters import query_of
from kheops.web.call import Call
from kheops.web.declaration import PAGING, Declaration, listed_answer
from kheops.web.schema import ALBUM_ID, COUNT, TEXT, UID, record

__all__ = ["LIST", "list_orphans"]

LIST: Final = Declaration(
    "List the orphans that the caller may take back",
    listed_answer(
        "The orphans, the next to be purged first.",
        record(
            {
                "study_uid": UID,
                "series_uid": UID,
                "number_of_instances": COUNT,
                "orphaned_time": TEXT,
                "kept_until": TEXT,
            },
            {"modality": TEXT, "album_id": ALBUM_ID},
        ),
    ),
    query=PAGING,
)


async def list_orphans(call: Call) -> Response:
    page = query_of(call).page()
    orphans = call.process.orphans
    found, total = await orphans.list(call.principal, page)
    return listed([_json(each, orphans.lifetime) for each in found], total)


def _json(orphan: OwnOrphan, lifetime: timedelta) -> Json:
    return {
        "study_uid": orphan.ref.study_instance_uid,
        "series_uid": orphan.ref.series_instance_uid,
        "modality": orphan.modality,
        "number_of_instances": orphan.number_of_instances,
        "album_id": orphan.album,
        "orphaned_time": zoned_time(orphan.orphaned_at),
        # A legal hold keeps it longer; that there is one is not theirs to know.
        "kept_until": zoned_time(orphan.orphaned_at + lifetime),
    }
