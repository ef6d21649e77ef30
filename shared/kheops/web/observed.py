"""One request as logs, traces and metrics see it: begun when it comes, ended with the last byte of its answer."""

from starlette.types import Message, Receive, Scope, Send

from kheops.errors import KheopsError
from kheops.request_context import RequestContext, set_request
from kheops.telemetry.signals import ServedRequest, installed
from kheops.web.call import AsgiResponse, Call

__all__ = ["ObservedRequest", "begin"]


def begin(scope: Scope, request_id: str) -> "ObservedRequest | None":
    """Say that the running task works for a request from now on.

    Returns
    -------
    ObservedRequest or None
        What has to hear how it ends; ``None`` if nobody is told.
    """
    context = RequestContext(request_id, scope["headers"])
    set_request(context)
    recorder = installed()
    if recorder is None:
        return None
    return ObservedRequest(recorder.request(context, method=scope["method"]), context)


class ObservedRequest:
    """A request whose end is told.

    Parameters
    ----------
    told
        What is told.
    context
        The request, to which its lines in the log belong.
    """

    def __init__(self, told: ServedRequest, context: RequestContext) -> None:
        self._told = told
        self._context = context
        self.call: Call | None = None
        """What the entry found out about it."""
        self.error: str | None = None
        """Our code of the error that was answered."""

    def answered_by(self, response: AsgiResponse) -> AsgiResponse:
        """Return the answer, the end of which is told."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            status: int | None = None
            sent = 0

            async def counted(message: Message) -> None:
                nonlocal status, sent
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif message["type"] == "http.response.body":
                    sent += len(message.get("body", b""))
                await send(message)

            set_request(self._context)
            try:
                await response(scope, receive, counted)
            except BaseException as error:
                self.error = type(error).__name__
                raise
            finally:
                taken = status is not None and status < 400
                self._end(status, request_bytes=_declared(scope) if taken else 0, response_bytes=sent)

        return answer

    def unanswered(self, error: BaseException) -> None:
        """Say that there was no answer: who asked has gone."""
        self.error = type(error).__name__
        self._end(None, request_bytes=0, response_bytes=0)

    def refused(self, error: KheopsError) -> None:
        """Take note of what was answered."""
        self.error = error.code

    def _end(self, status: int | None, *, request_bytes: int, response_bytes: int) -> None:
        self._told.end(
            route=None if self.call is None else _route(self.call),
            status=status,
            error=self.error,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
        )


def _route(call: Call) -> str | None:
    """Return the template of the route that was found, never what was in its place."""
    template = call.template
    if call.resource is not None:
        from kheops.web.data_templates import template_of  # the other services have no resources to import

        template = template_of(call.resource)
    if template is None:
        return None
    if call.link_token is not None:
        return f"/api/link/{{token}}{template}"
    return f"/api{template}" if call.below_api else template


def _declared(scope: Scope) -> int:
    """Return the length that the request's body was announced with; 0 if it was not."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
