"""The HTTP client of control calls: discovery, keys, codes, userinfo. Never pixels."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from kheops.identity.answers import ANSWER_TIMEOUT

__all__ = ["control_client"]


def control_client() -> httpx.AsyncClient:
    """Return a client fit to be shared by everything that speaks to issuers; whoever asks for it closes it.

    It trusts the certificates of the operating system, keeps no cookies (they would pass from one person's
    exchange to the next), follows no redirects and reads no proxy from the environment.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_TIMEOUT),
        follow_redirects=False,
        trust_env=False,
        verify=ssl.create_default_context(),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=30),
    )
