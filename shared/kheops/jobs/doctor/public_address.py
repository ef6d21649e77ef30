"""The public address, as people and viewers reach it: whatever stands between them and the services is tried, too."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from kheops.cli.failure import CommandError
from kheops.cli.probe import Answered, probe
from kheops.clock import Clock
from kheops.config import Settings
from kheops.jobs.doctor.clocks import compared
from kheops.jobs.doctor.finding import Finding

__all__ = ["check_protocol", "check_public_address", "check_size"]

_SECONDS: Final = 10.0
_LARGE: Final = 2 * 1024 * 1024 * 1024
"""Bytes of an upload that nothing on the way may refuse; they are announced, not sent."""
_FOREIGN: Final = "https://doctor.invalid"
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""What begins HTTP/2 on a connection that was not negotiated, with empty settings (RFC 9113 section 3.4)."""
_SETTINGS: Final = 4
"""Type of the frame that answers it."""
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_TOO_LARGE: Final = 413
_UNAVAILABLE: Final = 503


def check_public_address(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Give what is to be said of the running services at the public address."""
    try:
        ready = probe("GET", f"{settings.public_url}/api/readiness")
        metadata = probe("GET", f"{settings.public_url}/.well-known/oauth-protected-resource")
    except CommandError as error:
        yield Finding.fault(
            "public address",
            error.message,
            "Start the services; let KHEOPS_PUBLIC_URL, the name's address and the proxy lead to them.",
        )
        return
    finding = _answers(settings, ready, metadata)
    yield finding
    if ready.seconds is not None:
        yield compared(settings.public_url, ready.seconds, clock)
    if finding.is_fault:
        return
    try:
        yield _passes_authorization(settings)
        yield from _cors(settings)
    except CommandError as error:
        yield Finding.fault("public address", error.message, "Try again; if it stays so, see the services' log.")


def _answers(settings: Settings, ready: Answered, metadata: Answered) -> Finding:
    if ready.status == _UNAVAILABLE:
        return Finding.fault(
            "public address",
            "The services run, and say that they cannot use the database.",
            "See what is said of the database; if nothing is, the services have other settings than these.",
        )
    issuers = [issuer.issuer for issuer in settings.issuers]
    resource, servers = metadata.document.get("resource"), metadata.document.get("authorization_servers")
    if ready.status != _OK or resource is None:
        return Finding.fault(
            "public address",
            f"Something else answers at {settings.public_url}: {ready.status} for /api/readiness, "
            f"{metadata.status} for /.well-known/oauth-protected-resource.",
            "Let the proxy pass /api/ and /.well-known/ on to the control plane, unchanged.",
        )
    if resource != settings.public_url or servers != issuers:
        what = "calls itself otherwise" if resource != settings.public_url else "trusts other issuers"
        return Finding.fault(
            "public address",
            f"The installation at {settings.public_url} {what}.",
            "Start the services again with these settings, or examine with theirs.",
        )
    return Finding.ok("public address", f"The services answer at {settings.public_url}.")


def _passes_authorization(settings: Settings) -> Finding:
    """Send a token that is none, and see whether the services got it."""
    answer = probe("GET", f"{settings.public_url}/api/studies", headers={"Authorization": "Bearer doctor"})
    if answer.status == _UNAUTHORIZED and answer.document.get("type") == "urn:kheops:problem:invalid-token":
        return Finding.ok("authorization header", "The header Authorization reaches the services.")
    return Finding.fault(
        "authorization header",
        f"A request with the header Authorization is answered {answer.status}, as if it had none.",
        "Let the proxy pass the header Authorization on as it is, and ask for no login of its own.",
    )


def _cors(settings: Settings) -> Iterator[Finding]:
    allowed = _allowed(settings, _FOREIGN)
    if allowed in {"*", _FOREIGN}:
        yield Finding.fault(
            "CORS",
            "Scripts of any page may call the API: something on the way adds Access-Control-Allow-Origin.",
            "Let the proxy add no header of CORS; KHEOPS_ALLOWED_ORIGINS says who may.",
        )
    for origin in settings.allowed_origins:
        if _allowed(settings, origin) == origin:
            yield Finding.ok("CORS", f"Scripts of {origin} may call the API.")
        else:
            yield Finding.fault(
                "CORS",
                f"Scripts of {origin} may not call the API, though KHEOPS_ALLOWED_ORIGINS has it.",
                "Let the proxy pass OPTIONS and the headers Origin and Access-Control-* on, both ways; start the "
                "services again if the setting is new.",
            )
    if not settings.allowed_origins:
        yield Finding.ok("CORS", "No other page's scripts may call the API; viewers elsewhere need it.")


def _allowed(settings: Settings, origin: str) -> str:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = probe("OPTIONS", f"{settings.public_url}/api/studies", headers=headers)
    return answer.headers.get("access-control-allow-origin", "")


async def check_size(settings: Settings) -> Finding:
    """Announce a large upload without a credential: the services say 401, a limit on the way says 413."""
    host = urlsplit(settings.public_url).netloc
    head = (
        f"POST /api/studies HTTP/1.1\r\nHost: {host}\r\nContent-Length: {_LARGE}\r\n"
        'Content-Type: multipart/related; type="application/dicom"; boundary=doctor\r\nConnection: close\r\n\r\n'
    )
    answer = await _exchange(settings.public_url, head.encode(), 12)
    status = answer[9:12].decode("ascii", "replace")
    if status == str(_UNAUTHORIZED):
        return Finding.ok("upload size", "Nothing on the way limits the size of an upload.")
    if status == str(_TOO_LARGE):
        return Finding.fault(
            "upload size",
            "Something on the way refuses large uploads (413).",
            "Lift the limit of the proxy (nginx: client_max_body_size 0); on Cloud Run, use HTTP/2 (h2c).",
        )
    return Finding.warning(
        "upload size",
        f"A large upload is answered {status.strip() or 'with nothing'} on its announcement.",
        "Try one with `kheops upload`.",
    )


async def check_protocol(settings: Settings) -> Finding:
    """See whether HTTP/2 is spoken: by prior knowledge (h2c), or as negotiated within TLS."""
    if urlsplit(settings.public_url).scheme == "https":
        speaks = await _negotiates_http2(settings.public_url)
    else:
        answer = await _exchange(settings.public_url, _PREFACE, 9)
        speaks = len(answer) == len(_PREFACE) - 24 and answer[3] == _SETTINGS
    if speaks:
        return Finding.ok("HTTP/2", "HTTP/2 is spoken.")
    return Finding.warning(
        "HTTP/2",
        "Only HTTP/1.1 is spoken: browsers ask for six frames at a time, and Cloud Run limits uploads to 32 MiB.",
        "Start Granian with `--http auto`, name the port h2c on Cloud Run, and switch HTTP/2 on at the proxy.",
    )


async def _exchange(url: str, sent: bytes, wanted: int) -> bytes:
    """Send bytes and return the first of the answer, fewer if there are no more."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await _connected(url, ["http/1.1"])
            try:
                writer.write(sent)
                await writer.drain()
                return await reader.readexactly(wanted)
            finally:
                writer.close()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (OSError, TimeoutError):
        return b""


async def _negotiates_http2(url: str) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await _connected(url, ["h2", "http/1.1"])
            tls = writer.get_extra_info("ssl_object")
            writer.close()
            return tls is not None and tls.selected_alpn_protocol() == "h2"
    except (OSError, TimeoutError):
        return False


async def _connected(url: str, protocols: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    if parts.scheme != "https":
        return await asyncio.open_connection(parts.hostname, parts.port or 80)
    context = ssl.create_default_context()
    context.set_alpn_protocols(protocols)
    return await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
