"""The web pages: logging in, own studies and albums, and a first token.

`entry` is the function for functions-framework, `app` the application for any ASGI server.
"""

import sys

import functions_framework.aio
from starlette.requests import Request

from kheops.web.asgi import answer, application
from kheops.web.call import AsgiResponse
from kheops.web.pages.failures import bare_failure
from kheops.web.pages_service import dispatch

__all__ = ["app", "entry"]


@functions_framework.aio.http  # type: ignore[arg-type]  # it hands any ASGI application on
async def entry(request: Request) -> AsgiResponse:
    return await answer(dispatch, request, refusal=bare_failure)


app = application(dispatch, sys.modules[__name__], refusal=bare_failure)
