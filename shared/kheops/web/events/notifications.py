"""Notifications of the store: pushes of Pub/Sub (its wrapped JSON), and the same as CloudEvents (of Eventarc)."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from kheops.archive.google_notifications import parse_notification
from kheops.errors import BadRequestError, RouteNotFoundError
from kheops.observability import get_logger
from kheops.web.api.json_body import json_object
from kheops.web.call import Call

__all__ = ["notified"]

_LOG = get_logger(__name__)

_CLOUD_EVENT: Final = "application/cloudevents+json"
_PUBLISHED: Final = "google.cloud.pubsub.topic.v1.messagePublished"
"""The type of CloudEvents (CloudEvents 1.0) whose data is a push."""


async def notified(call: Call) -> Response:
    """Mark what a notification is about.

    An answer other than 2xx has Pub/Sub send it again, and at last put it where somebody looks: so what cannot be read
    is 400, and what is about another store is none of ours and done with.
    """
    if call.process.settings.store_kind != "google":
        raise RouteNotFoundError
    message = _member(await _push(call), "message")
    data = message.get("data")
    if not isinstance(data, str):
        raise BadRequestError("The message must have data.")
    notification = parse_notification(data, _attributes(message))
    if notification.is_of(call.process.settings.store_url):
        await call.process.store_notifications.take(notification)
    else:
        _LOG.warning("notifications.other_store", request_id=call.request_id)
    return Response(status_code=204)


async def _push(call: Call) -> Mapping[str, object]:
    """Return the body of a push, out of the CloudEvent that it may be in."""
    headers = call.request.headers
    body = await json_object(call, accepted=("application/json", _CLOUD_EVENT))
    if headers.get("content-type", "").lower().startswith(_CLOUD_EVENT):
        _require_published(body.get("type"))
        return _member(body, "data")
    if "ce-type" in headers:
        _require_published(headers["ce-type"])
    return body


def _attributes(message: Mapping[str, object]) -> Mapping[str, str]:
    """Return the attributes of a message, which are texts; the older form has none."""
    found = message.get("attributes")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequestError("The attributes must be an object.")
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    if texts != found:
        raise BadRequestError("The attributes must be texts.")
    return texts


def _require_published(kind: object) -> None:
    if kind != _PUBLISHED:
        raise BadRequestError(f"The event's type must be {_PUBLISHED}.")


def _member(within: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = within.get(name)
    if not isinstance(value, dict):
        raise BadRequestError(f"The body must have an object {name}.")
    return value
