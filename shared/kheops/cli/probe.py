"""One request to see what an address answers, whatever it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from kheops.cli.answers import http_client, no_answer

__all__ = ["Answered", "probe"]

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    document: Mapping[str, object]
    """The JSON object of the body, or empty."""

    @property
    def seconds(self) -> float | None:
        """When it was answered by the other side's clock (``Date``), in seconds of the Unix epoch."""
        try:
            return parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except ValueError:
            return None


def probe(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Answered:
    """Send one request; no redirect is followed, and of the body at most a MiB is read.

    Raises
    ------
    CommandError
        If there is no answer.
    """
    with http_client(url) as http:
        try:
            with http.stream(
                method, url, headers=dict(headers or {}), data=None if form is None else dict(form)
            ) as got:
                body = bytearray()
                for chunk in got.iter_bytes():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        break
                names = {name.lower(): value for name, value in got.headers.items()}
                return Answered(got.status_code, names, _object(bytes(body)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise no_answer(url, error) from None


def _object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
