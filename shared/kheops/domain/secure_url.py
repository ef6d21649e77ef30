"""Addresses at which a secret may be sent: https, or a server on this very machine."""

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_loopback", "is_secure_url"]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: ``localhost``, or a loopback address (RFC 1122 section 3.2.1.3)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_secure_url(url: str) -> bool:
    """Return whether ``url`` is https, or http on loopback, and names a host, no user and no fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
