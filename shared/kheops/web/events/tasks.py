"""Tasks of Cloud Scheduler and Cloud Tasks, by name."""

import asyncio
from typing import Final

from starlette.responses import Response

from kheops.composition.scheduled import ScheduledTask, run_task
from kheops.errors import RouteNotFoundError, UnavailableError
from kheops.observability import get_logger
from kheops.web.call import Call

__all__ = ["run"]

_LOG = get_logger(__name__)

_LONGEST: Final = 540.0
"""Seconds; less than the ten minutes after which the platform ends a request. What is left is the next run's."""


async def run(call: Call) -> Response:
    """Do the task of the path; 503 if it is not wholly done, so that it is asked for again."""
    try:
        task = ScheduledTask(call.params["task"])
    except ValueError:
        raise RouteNotFoundError from None
    try:
        async with asyncio.timeout(_LONGEST):
            is_whole = await run_task(call.process, task)
    except TimeoutError:
        is_whole = False
    if not is_whole:
        _LOG.warning("task.not_whole", request_id=call.request_id, task=task.value)
        raise UnavailableError
    return Response(status_code=204)
