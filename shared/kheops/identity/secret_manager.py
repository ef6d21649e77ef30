"""Secret Manager: the versions of a secret that are in use, with the time from which each is.

The client library is imported when a secret is read for the first time: it brings protobuf and gRPC, which nothing
else needs that is set up by variables or files. It speaks REST here, by the same transport as google-auth, so that
no channel with threads of its own outlives the call.
"""

import re
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from kheops.domain.secret_references import SecretManagerReference
from kheops.identity.secret_versions import SecretUnreadableError, SecretVersion, in_use

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

__all__ = ["SecretManager", "crc32c"]

_SECONDS: Final = 10
"""Of one call. The library's own would try for a minute, longer than a service may take to start."""
_NUMBER: Final = re.compile(r"/versions/([0-9]+)$")
_POLYNOMIAL: Final = 0x82F63B78


class SecretManager:
    """Reads secrets.

    Parameters
    ----------
    client
        The library's client; by default one with application default credentials that speaks REST.
    """

    def __init__(self, client: "SecretManagerServiceClient | None" = None) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._payloads: dict[str, str] = {}

    def versions(
        self, reference: SecretManagerReference, *, now: datetime, overlap: timedelta
    ) -> tuple[SecretVersion, ...]:
        """Return the versions in use, the newest first; blocks. What was read once is not read again.

        Parameters
        ----------
        reference
            The secret. Of a pinned version, newer ones are left out.
        now
            The current time.
        overlap
            How long a version is used on beside its successor.

        Raises
        ------
        SecretUnreadableError
            If there is no such version, it is not enabled, the service account may not read it or list its versions,
            or Secret Manager does not answer.
        """
        with self._lock:
            try:
                return self._versions(reference, now, overlap)
            except SecretUnreadableError:
                raise
            except Exception as error:
                # google.api_core, google.auth and requests have no common base; their texts may quote an answer.
                raise SecretUnreadableError(_reason(error)) from error

    def _versions(
        self, reference: SecretManagerReference, now: datetime, overlap: timedelta
    ) -> tuple[SecretVersion, ...]:
        client = self._client = self._client or _client()
        listed: dict[int, datetime] = {}
        request = {"parent": reference.secret, "filter": "state:ENABLED"}
        for version in client.list_secret_versions(request=request, retry=None, timeout=_SECONDS):
            match = _NUMBER.search(version.name)
            # The filter is the service's word, the state is what counts.
            if match is not None and version.state.name == "ENABLED":
                listed[int(match[1])] = version.create_time
        if reference.version is not None:
            if reference.version not in listed:
                raise SecretUnreadableError(f"version {reference.version} does not exist or is not enabled")
            listed = {number: since for number, since in listed.items() if number <= reference.version}
        if not listed:
            raise SecretUnreadableError("it has no enabled version")
        found = in_use(sorted(listed.items(), reverse=True), now=now, overlap=overlap)
        return tuple(
            SecretVersion(self._payload(client, f"{reference.secret}/versions/{number}"), since)
            for number, since in found
        )

    def _payload(self, client: "SecretManagerServiceClient", name: str) -> str:
        kept = self._payloads.get(name)
        if kept is not None:
            return kept
        payload = client.access_secret_version(request={"name": name}, retry=None, timeout=_SECONDS).payload
        # Everything made under a wrong key would be lost with it: the service's checksum is worth a look.
        if crc32c(payload.data) != payload.data_crc32c:
            raise SecretUnreadableError("its checksum is not that of its value")
        try:
            text = bytes(payload.data).decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise SecretUnreadableError("its value is no text") from None
        self._payloads[name] = text
        return text


def crc32c(data: bytes) -> int:
    """Return CRC-32C (Castagnoli, RFC 3720 appendix B.4), by which Secret Manager guards payloads; for short ones."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _client() -> "SecretManagerServiceClient":
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient  # deferred: see the module's docstring

    return SecretManagerServiceClient(transport="rest")


def _reason(error: Exception) -> str:
    known = {
        "PermissionDenied": "the service account may not read it; it needs secretmanager.versions.access and "
        "secretmanager.versions.list on the secret",
        "Forbidden": "the service account may not read it; it needs secretmanager.versions.access and "
        "secretmanager.versions.list on the secret",
        "NotFound": "it does not exist",
        "FailedPrecondition": "its version is not enabled",
        "DefaultCredentialsError": "there are no application default credentials",
    }
    return known.get(type(error).__name__, f"Secret Manager does not answer ({type(error).__name__})")
