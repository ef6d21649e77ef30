"""Calls of Google's services: notifications of the store as pushes or CloudEvents, delivery, maintenance.

`entry` is the function for functions-framework, `app` the application for any ASGI server. It is an HTTP function and
not one of the framework's CloudEvent functions, which are not told of the token that shows who calls.
"""

import sys

import functions_framework.aio
from starlette.requests import Request

from kheops.web.asgi import answer, application
from kheops.web.call import AsgiResponse
from kheops.web.events_service import dispatch, open_events

__all__ = ["app", "entry"]


@functions_framework.aio.http  # type: ignore[arg-type]  # it hands any ASGI application on
async def entry(request: Request) -> AsgiResponse:
    return await answer(dispatch, request, opening=open_events)


app = application(dispatch, sys.modules[__name__], opening=open_events)
