"""``/openapi.json``."""

import json
from functools import cache
from importlib.metadata import version
from typing import Final

from starlette.responses import Response

from kheops.web.call import Call
from kheops.web.declaration import Declaration, json_answer

__all__ = ["DOCUMENT", "openapi"]

DOCUMENT: Final = Declaration("Read this document", json_answer("The document.", {"type": "object"}))


async def openapi(call: Call) -> Response:
    """Answer with the OpenAPI document. It is public: nothing in it depends on the caller or the installation."""
    del call
    return Response(_encoded(), media_type="application/json", headers={"Cache-Control": "public, max-age=3600"})


@cache
def _encoded() -> bytes:
    # It knows both planes' tables, this one's among them, and hardly any process is ever asked for it.
    from kheops.web.openapi import document

    return json.dumps(document(version("kheops")), ensure_ascii=False, separators=(",", ":")).encode()
