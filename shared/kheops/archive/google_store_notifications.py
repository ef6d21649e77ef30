"""Seeing to it that a store of the Cloud Healthcare API tells a topic of everything that is done to it.

The store's ``notificationConfigs``, by which it tells of deletions and not only of what is stored, are not in
Terraform's provider, so that the migrate job sets them. Sources: the discovery document of the API, v1
(``DicomStore``, ``dicomStores.get`` and ``dicomStores.patch`` with ``updateMask``), and
https://cloud.google.com/healthcare-api/docs/dicom-pubsub.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from kheops.archive.client import Authorization, Method, StoreClient, Wanted
from kheops.archive.google_credentials import GoogleCredentials
from kheops.archive.request_body import Body
from kheops.errors import ArchiveProtocolError

__all__ = ["tell_topic"]

_JSON: Final = "application/json"
_WHOLE: Final = Wanted(frozenset({HTTPStatus.OK}), 1024 * 1024)
_FIELD: Final = "notificationConfigs"


class _Config(msgspec.Struct, rename="camel"):
    pubsub_topic: str


class _Store(msgspec.Struct, rename="camel"):
    notification_configs: list[_Config] = []


async def tell_topic(store_url: str, topic: str, *, authorization: Authorization | None = None) -> bool:
    """Have a store tell ``topic`` of what is stored, imported and deleted; return whether that was new.

    Topics that it tells already stay. What the store says afterwards is looked at: a change that was taken and not
    kept is an error.

    Parameters
    ----------
    store_url
        The store's address up to and without ``/dicomWeb``.
    topic
        ``projects/P/topics/T``. The Healthcare API's service agent has to be allowed to publish to it: else every
        call that stores or deletes fails from then on.
    authorization
        What proves that we may ask; the application default credentials if not given.

    Raises
    ------
    ArchiveUnavailableError
        If the API does not answer.
    ArchiveProtocolError
        If it refuses, or the store does not tell the topic afterwards.
    """
    client = StoreClient(authorization or GoogleCredentials())
    try:
        found = await _ask(client, "GET", store_url)
        if _tells(found, topic):
            return False
        wanted = _Store([*found.notification_configs, _Config(topic)])
        await _ask(client, "PATCH", f"{store_url}?updateMask={_FIELD}", msgspec.json.encode(wanted))
        if not _tells(await _ask(client, "GET", store_url), topic):
            raise ArchiveProtocolError("the store does not keep the topic that it was given")
        return True
    finally:
        await client.aclose()


def _tells(store: _Store, topic: str) -> bool:
    return any(config.pubsub_topic == topic for config in store.notification_configs)


async def _ask(client: StoreClient, method: Method, url: str, data: bytes | None = None) -> _Store:
    body = None if data is None else Body.of(_JSON, data)
    answer, content = await client.ask(method, url, {"Accept": _JSON}, body, wanted=_WHOLE, is_prompt=True)
    if answer.status != HTTPStatus.OK:
        await answer.discard()
        raise ArchiveProtocolError(f"the store's notifications cannot be set: {answer.status} to {method}")
    try:
        return msgspec.json.decode(content, type=_Store)
    except msgspec.DecodeError:
        raise ArchiveProtocolError("what is said of the store is not what the API documents") from None
