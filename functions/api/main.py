"""The control plane: albums, members, capability tokens, people.

`entry` is the function for functions-framework, `app` the application for any ASGI server.
"""

import sys

import functions_framework.aio
from starlette.requests import Request

from kheops.web.api_service import dispatch
from kheops.web.asgi import answer, application
from kheops.web.call import AsgiResponse

__all__ = ["app", "entry"]


@functions_framework.aio.http  # type: ignore[arg-type]  # it hands any ASGI application on
async def entry(request: Request) -> AsgiResponse:
    return await answer(dispatch, request)


app = application(dispatch, sys.modules[__name__])
