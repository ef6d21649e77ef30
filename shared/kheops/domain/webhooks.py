"""Webhooks as people describe them, and what they are told of, under KHEOPS's names."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

__all__ = [
    "DEBOUNCE",
    "MOST_WEBHOOKS",
    "WEBHOOK_NAME_LENGTH",
    "WEBHOOK_SECRET_LENGTH",
    "WEBHOOK_URL_LENGTH",
    "ImportSource",
    "WebhookDraft",
    "WebhookEdit",
    "WebhookEvent",
]

WEBHOOK_NAME_LENGTH: Final = 255
"""Characters."""
WEBHOOK_URL_LENGTH: Final = 1024
"""Characters."""
WEBHOOK_SECRET_LENGTH: Final = 1024
"""Characters."""
MOST_WEBHOOKS: Final = 50
"""Of one album: each upload becomes as many requests."""
DEBOUNCE: Final = timedelta(seconds=30)
"""How long it must be quiet, per study and album, before new series are told of."""


class WebhookEvent(StrEnum):
    """What a webhook can be told of."""

    NEW_SERIES = "new_series"
    REMOVE_SERIES = "remove_series"
    NEW_USER = "new_user"
    DELETE_ALBUM = "delete_album"


class ImportSource(StrEnum):
    """How a series came into an album."""

    UPLOAD = "upload"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class WebhookDraft:
    """A webhook that somebody wants to create; texts are within their lengths."""

    name: str
    url: str
    events: frozenset[WebhookEvent]
    secret: str | None = None
    """Signs each body; ``None`` sends without a signature."""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class WebhookEdit:
    """Changes to a webhook; ``None`` leaves a field as it is."""

    name: str | None = None
    url: str | None = None
    secret: str | None = None
    """Empty removes it."""
    events: frozenset[WebhookEvent] | None = None
    added: frozenset[WebhookEvent] = frozenset()
    removed: frozenset[WebhookEvent] = frozenset()
    """``added`` and ``removed`` change the events that there are; never together with ``events``."""
    enabled: bool | None = None

    def events_of(self, now: frozenset[WebhookEvent]) -> frozenset[WebhookEvent]:
        """Return the events after the edit of a webhook that has ``now``."""
        return ((now if self.events is None else self.events) | self.added) - self.removed
