"""``/ohifservermetadata``."""

from starlette.responses import Response

from kheops.web.api.answers import json_of
from kheops.web.api.parameters import query_of
from kheops.web.call import Call

__all__ = ["ohif_server"]


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
