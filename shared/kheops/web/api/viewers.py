"""``/ohifservermetadata``."""

from typing import Final

from starlette.responses import Response

from kheops.web.api.answers import json_of
from kheops.web.api.parameters import query_of
from kheops.web.call import Call
from kheops.web.declaration import Declaration, json_answer
from kheops.web.schema import FLAG, TEXT, list_of, record

__all__ = ["OHIF_SERVER", "ohif_server"]

_SERVER: Final = record(
    {
        **dict.fromkeys(("name", "qidoRoot", "wadoRoot", "imageRendering", "thumbnailRendering"), TEXT),
        **dict.fromkeys(("qidoSupportsIncludeField", "enableStudyLazyLoad", "staticWado"), FLAG),
        "bulkDataURI": record({"enabled": FLAG}),
    }
)

OHIF_SERVER: Final = Declaration(
    "Read the part of OHIF's configuration that says how to reach this service",
    json_answer("The part.", record({"servers": record({"dicomWeb": list_of(_SERVER)})})),
)


async def ohif_server(call: Call) -> Response:
    """Answer with the part of OHIF's configuration that says how to reach us, by the link that the caller came by."""
    query_of(call)
    server = {
        "name": "KHEOPS",
        "qidoRoot": call.api_root,
        "wadoRoot": call.api_root,
        "qidoSupportsIncludeField": True,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "staticWado": True,
        "bulkDataURI": {"enabled": True},
    }
    return json_of({"servers": {"dicomWeb": [server]}}, holds_secret=call.link_token is not None)
