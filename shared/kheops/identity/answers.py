"""JSON answers of an issuer, fetched within bounds.

Everything that identity asks of an issuer goes through `ask`: one deadline, one size limit, no redirects, no
compressed bodies, and no word of what was sent or received in the log.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.json_objects import json_object
from kheops.observability import get_logger

__all__ = ["ANSWER_LIMIT", "ANSWER_TIMEOUT", "JsonAnswer", "ask"]

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for a whole exchange, however slowly its bytes drip."""
ANSWER_LIMIT: Final = 1024 * 1024
"""Bytes of an answer's body; a JWKS of a hundred keys has some 60 KiB."""

_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_OK: Final = 200

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """A final answer of an issuer. ``document`` is its JSON object, or empty where an error came without one."""

    status: int
    document: Mapping[str, object]

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == _OK


async def ask(
    http: httpx.AsyncClient,
    method: Literal["GET", "POST"],
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> JsonAnswer:
    """Send one request to an issuer and return its answer.

    Parameters
    ----------
    http
        The shared client; see `kheops.identity.control_client`.
    method, url
        What to ask. The caller has made sure that ``url`` is https or loopback.
    headers
        Further headers, credentials among them.
    form
        Parameters of an ``application/x-www-form-urlencoded`` body.

    Raises
    ------
    IdentityProviderUnavailableError
        On any failure of the network, after `ANSWER_TIMEOUT`, for a status of 429 or 5xx, for a body over
        `ANSWER_LIMIT` or compressed, and for a 200 that is no JSON object.
    """
    fields = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    try:
        async with (
            asyncio.timeout(ANSWER_TIMEOUT),
            http.stream(
                method, url, headers=fields, data=form, follow_redirects=False, timeout=httpx.Timeout(ANSWER_TIMEOUT)
            ) as response,
        ):
            body = await _read(response)
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise _no_answer(url, type(error).__name__) from None
    except _BadBodyError as error:
        raise _no_answer(url, str(error)) from None
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        raise _no_answer(url, f"status {status}")
    document = json_object(body)
    if document is None:
        if status == _OK:
            raise _no_answer(url, "no JSON object")
        document = {}
    return JsonAnswer(status, document)


class _BadBodyError(Exception):
    pass


async def _read(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _BadBodyError("compressed")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            raise _BadBodyError("too large")
    return bytes(body)


def _no_answer(url: str, reason: str) -> IdentityProviderUnavailableError:
    parts = urlsplit(url)
    _LOG.warning("issuer.no_answer", host=parts.hostname, path=parts.path, reason=reason)
    return IdentityProviderUnavailableError()
