"""The trusted issuers: what they publish, whether they know us, and whether their tokens are for us."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs, quote_plus, urlsplit

from kheops.cli.failure import CommandError
from kheops.cli.probe import Answered, probe
from kheops.config import IssuerSettings
from kheops.errors import IdentityProviderUnavailableError, InvalidTokenError, KheopsError
from kheops.factory import Process
from kheops.identity.issuers import IssuerMetadata
from kheops.identity.jwks import parse_jwks
from kheops.jobs.doctor.clocks import compared
from kheops.jobs.doctor.finding import Finding
from kheops.jobs.doctor.heard import Heard

__all__ = ["check_issuers", "check_token"]

_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "expired": ("it has expired", "Take a fresh one; if it is fresh, the clocks differ."),
    "not-yet-valid": ("it is not valid yet", "The clocks differ: set them by NTP."),
    "issued-in-future": ("it is from the future", "The clocks differ: set them by NTP."),
    "id-token": ("it is an ID token", "Clients must send the access token; nothing is to be mended here."),
    "not-an-access-token": (
        "it has not what tells access tokens of this issuer",
        "Mend access_token_typ, access_token_claim or id_token_claims in KHEOPS_ISSUERS, by the issuer's own words.",
    ),
    "typ": (
        "its header `typ` is none of an access token",
        "Let the issuer make access tokens as RFC 9068 says, or send the access token and no other.",
    ),
    "alg": ("it is signed in a way that is not accepted", "Add its `alg` to algorithms in KHEOPS_ISSUERS, if safe."),
    "signature": ("its signature is wrong", "It was changed on its way, or is of another issuer of the same name."),
}


async def check_issuers(process: Process, heard: Heard) -> AsyncIterator[Finding]:
    """Give what is to be said of each issuer."""
    for settings in process.settings.issuers:
        issuer = process.verifier.issuers.get(settings.issuer)
        assert issuer is not None
        try:
            metadata = await issuer.metadata()
        except IdentityProviderUnavailableError:
            yield _no_metadata(settings, heard)
            continue
        yield Finding.ok("issuer", f"{settings.issuer} answers, and names itself so.")
        for finding in await asyncio.to_thread(lambda: list(_published(settings, metadata, process))):  # noqa: B023 - awaited here
            yield finding
        if not settings.email_domains:
            yield Finding.warning(
                "e-mail",
                f"{settings.issuer} may vouch for no e-mail address: nobody of it can be found by theirs.",
                "Set its email_domains in KHEOPS_ISSUERS.",
            )
        if settings.client_id is not None:
            yield await _known(process, settings)
            if settings.client_secret is not None and metadata.token_endpoint is not None:
                secret = process.secrets.reveal(settings.client_secret)
                yield await asyncio.to_thread(_secret, settings, metadata.token_endpoint, secret)


async def check_token(process: Process, token: str) -> Finding:
    """Return whether an access token is one for us, and if not, why."""
    claims = _claims(token)
    try:
        verified = await process.verifier.verify(token)
    except InvalidTokenError as error:
        return _refused(error.reason, claims, process)
    except KheopsError as error:
        return Finding.fault(
            "token", f"The token cannot be checked: {error.message}.", "See what is said of the issuer."
        )
    if verified is None and "iss" not in claims:
        return Finding.fault(
            "token",
            "The token is no JWT with an issuer, so it is no access token of a login provider.",
            "Give the file that holds an issuer's access token and nothing else. Capability tokens are not examined.",
        )
    if verified is None:
        return Finding.fault(
            "token",
            f"The token is of {claims['iss']}, which is not trusted letter by letter.",
            "Add that issuer to KHEOPS_ISSUERS, or mend its `issuer` there (a slash at the end counts).",
        )
    if verified.email is None and not process.settings.email_from_userinfo:
        return Finding.warning(
            "token",
            "The token is for us, and has no e-mail address.",
            "Let the issuer put it in, or set KHEOPS_EMAIL_FROM_USERINFO=true.",
        )
    return Finding.ok("token", f"The token is for us, of {verified.iss}.")


def _no_metadata(settings: IssuerSettings, heard: Heard) -> Finding:
    why = heard.last("issuer.document_unusable", "why") or heard.last("issuer.no_answer", "reason") or "no answer"
    if why == "it names another issuer":
        return Finding.fault(
            "issuer",
            f"The discovery document of {settings.issuer} names another issuer.",
            "Set `issuer` in KHEOPS_ISSUERS to what the document says, letter by letter (a slash at the end counts).",
        )
    return Finding.fault(
        "issuer",
        f"The discovery document of {settings.issuer} cannot be had: {why}.",
        "Open {issuer}/.well-known/openid-configuration from this machine; mend `issuer`, or set `discovery_url` "
        "where we reach it at another address.",
    )


def _published(settings: IssuerSettings, metadata: IssuerMetadata, process: Process) -> Iterator[Finding]:
    try:
        answer = probe("GET", metadata.jwks_uri)
    except CommandError as error:
        yield Finding.fault("issuer", f"The keys of {settings.issuer} cannot be had: {error.message}", _OPEN)
        return
    try:
        keys = parse_jwks(answer.document).keys
    except KheopsError:
        keys = ()
    if not any(key.fits(algorithm) for key in keys for algorithm in settings.algorithms):
        yield Finding.fault(
            "algorithms",
            f"{settings.issuer} publishes no key for {', '.join(settings.algorithms)}.",
            "Set `algorithms` in KHEOPS_ISSUERS to what it signs access tokens by (`alg` of its keys).",
        )
    if answer.seconds is not None:
        yield compared(settings.issuer, answer.seconds, process.clock)


_OPEN: Final = "Open the network from here to the issuer's jwks_uri."


async def _known(process: Process, settings: IssuerSettings) -> Finding:
    """Begin a login and see whether the issuer shows its page."""
    callback = f"{process.settings.public_url}/callback"
    request = await process.relying_party.start(settings.issuer, callback)
    mend = (
        f"At the issuer, let {settings.client_id} be a client for the authorization code with PKCE (S256) that comes "
        f"back to {callback}, letter by letter; or mend client_id and scopes in KHEOPS_ISSUERS."
    )
    try:
        answer = await asyncio.to_thread(probe, "GET", request.url)
    except CommandError as error:
        return Finding.fault("login", f"The login page of {settings.issuer} cannot be had: {error.message}", mend)
    refusal = _error_of(answer, callback)
    if _CLIENT_ERROR <= answer.status < _SERVER_ERROR or refusal is not None:
        return Finding.fault(
            "login", f"{settings.issuer} refuses our login: {refusal or f'status {answer.status}'}.", mend
        )
    return Finding.ok("login", f"{settings.issuer} lets our client log in.")


def _error_of(answer: Answered, callback: str) -> str | None:
    location = answer.headers.get("location", "")
    if not location.startswith(callback):
        return None
    return parse_qs(urlsplit(location).query).get("error", [None])[0]


def _secret(settings: IssuerSettings, token_endpoint: str, secret: str) -> Finding:
    """Redeem a code that is none: a wrong client is refused before a wrong code (RFC 6749 section 5.2)."""
    assert settings.client_id is not None
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
    headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(), "Accept": "application/json"}
    form = {"grant_type": "authorization_code", "code": "none", "redirect_uri": "https://none.invalid/"}
    try:
        answer = probe("POST", token_endpoint, headers=headers, form=form)
    except CommandError as error:
        return Finding.fault(
            "client", f"The token endpoint of {settings.issuer} does not answer: {error.message}", _OPEN
        )
    if answer.document.get("error") in {"invalid_client", "unauthorized_client"}:
        return Finding.fault(
            "client",
            f"{settings.issuer} does not take our client's secret.",
            f"Copy the secret of {settings.client_id} from the issuer into client_secret of KHEOPS_ISSUERS.",
        )
    return Finding.ok("client", f"{settings.issuer} takes our client's secret.")


def _refused(reason: str, claims: Mapping[str, object], process: Process) -> Finding:
    if reason in {"aud", "missing-aud"}:
        iss = claims.get("iss")
        accepted = [name for each in process.settings.issuers if each.issuer == iss for name in each.audiences]
        return Finding.fault(
            "audience",
            f"The token is for {claims.get('aud', 'nobody')}; accepted of {iss} is {', '.join(accepted)}.",
            "Let the issuer put our audience into the client's access tokens, or, only if the name stands for this "
            "installation alone, add it to audiences in KHEOPS_ISSUERS.",
        )
    why, mend = _REASONS.get(reason, (f"the reason is {reason}", "See docs/settings.md on the fields of an issuer."))
    return Finding.fault("token", f"The token is refused: {why}.", mend)


def _claims(token: str) -> Mapping[str, object]:
    """Return what a token says, unverified, for being shown."""
    try:
        payload = token.split(".")[1]
        value = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
