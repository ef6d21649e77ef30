"""What proves to a collector that we may send: nothing to one of our own, a service account's token to Google's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kheops.errors import ConfigurationError

if TYPE_CHECKING:  # being imported, requests opens a socket; and google-auth takes its time
    import requests
    from google.auth.credentials import Credentials

__all__ = ["is_google", "session_for"]

_GOOGLE: Final = "telemetry.googleapis.com"
"""Of the Telemetry (OTLP) API of Google Cloud Observability."""
_SCOPES: Final = (
    "https://www.googleapis.com/auth/trace.append",
    "https://www.googleapis.com/auth/monitoring.write",
)


def is_google(endpoint: str) -> bool:
    """Return whether an endpoint is Google's own, which alone is sent a token."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and parts.hostname == _GOOGLE


def session_for(
    endpoint: str, *, default: "Callable[[], Credentials] | None" = None
) -> "Callable[[], requests.Session]":
    """Return what makes the session for an endpoint.

    Parameters
    ----------
    endpoint
        The collector's root.
    default
        Finds the service account; by default as google-auth does.

    Raises
    ------
    ConfigurationError
        If the endpoint is Google's and there is no service account.
    """
    if not is_google(endpoint):
        return _plain
    from google.auth import default as application_default
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials = application_default(scopes=_SCOPES)[0] if default is None else default()
    except DefaultCredentialsError:
        raise ConfigurationError(
            ["KHEOPS_OTLP_ENDPOINT is Google's, and there are no credentials of Google."]
        ) from None
    return lambda: AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


def _plain() -> "requests.Session":
    import requests

    session = requests.Session()
    # Neither proxies nor passwords of somebody's .netrc.
    session.trust_env = False
    return session
