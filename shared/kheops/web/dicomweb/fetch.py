"""``/studies/{study}/fetch`` and ``/studies/{study}/series/fetch``, which importers made for KHEOPS call."""

from typing import Final

from starlette.responses import Response

from kheops.dicomweb.resources import Fetch, Study
from kheops.errors import BadFormParameterError, InvalidIdentifierError
from kheops.ids import series_instance_uid
from kheops.web.api.parameters import form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import Answer, Declaration, Parameter
from kheops.web.schema import UID

__all__ = ["FETCH", "fetch"]

FETCH: Final = Declaration(
    "Do nothing: the catalog is in step with the store by itself",
    {200: Answer("Nothing was to be done.")},
    form=(
        Parameter("SeriesInstanceUID", "Required below /series; of no effect.", UID, repeated=True),
        # Not looked at, and so whatever a client writes there is let pass.
        Parameter("album", "Of no effect."),
    ),
)


async def fetch(call: Call, resource: Fetch) -> Response:
    """Answer ``POST /studies/{S}/fetch`` and ``POST /studies/{S}/series/fetch``.

    KHEOPS reads a study's attributes from the store then. Here they come from the bytes as they are stored, and no
    UID is looked up, so that the answer is the same for every study.
    """
    query_of(call)
    form = await form_of(call)
    named = form.all("SeriesInstanceUID")
    if not named and not isinstance(resource.of, Study):
        raise BadFormParameterError("'SeriesInstanceUID' is required.")
    try:
        for uid in named:
            series_instance_uid(uid)
    except InvalidIdentifierError:
        raise BadFormParameterError("'SeriesInstanceUID' is not a valid UID.") from None
    return Response(status_code=200, headers={"Cache-Control": "private, no-cache"})
