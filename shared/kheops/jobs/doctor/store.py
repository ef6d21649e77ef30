"""The DICOM store: whether it answers, and answers us alone."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Final

from kheops.cli.failure import CommandError
from kheops.cli.probe import probe
from kheops.factory import Process
from kheops.jobs.doctor.finding import Finding
from kheops.jobs.doctor.heard import Heard

__all__ = ["check_store"]

_DENIED: Final = frozenset({401, 403})


async def check_store(process: Process, heard: Heard) -> AsyncIterator[Finding]:
    """Give what is to be said of the store."""
    settings = process.settings
    if await process.archive.ready():
        yield Finding.ok("store", "The DICOM store answers a search.")
        if settings.store_kind != "google" and await asyncio.to_thread(_is_open, settings.store_url):
            yield Finding.warning(
                "store",
                "The DICOM store answers also without our password.",
                "Let it ask for one, or make sure that nothing but the services reaches it: it holds everything.",
            )
    elif settings.store_kind == "google":
        yield _why_google(heard)
    else:
        yield await asyncio.to_thread(_why, settings.store_url, _basic(process))


def _why_google(heard: Heard) -> Finding:
    error = heard.last_error("archive.token_unavailable")
    if error == "DefaultCredentialsError":
        return Finding.fault(
            "store",
            "No credentials for the Healthcare API were found, or they cannot be read.",
            "Run this as the service account on Google Cloud, or set GOOGLE_APPLICATION_CREDENTIALS to its key file.",
        )
    if error is not None or heard.has("archive.token_late"):
        return Finding.fault(
            "store",
            f"No access token for the Healthcare API could be fetched: {error or 'no answer in time'}.",
            "Open the network to Google's token endpoint or the metadata server, and check that the service account "
            "and its key are there and not disabled.",
        )
    return Finding.fault(
        "store",
        "The Healthcare API does not answer a search in that store.",
        "Check KHEOPS_STORE_URL letter by letter, and that the service account has roles/healthcare.dicomEditor on "
        "the store.",
    )


def _why(store_url: str, authorization: dict[str, str]) -> Finding:
    try:
        status = _status(store_url, authorization)
    except CommandError as error:
        return Finding.fault(
            "store", f"The DICOM store does not answer: {error.message}", "Start it, or mend KHEOPS_STORE_URL."
        )
    if status in _DENIED:
        return Finding.fault(
            "store",
            f"The DICOM store refuses us with {status}.",
            "Mend KHEOPS_STORE_USER and KHEOPS_STORE_PASSWORD, or what that user may do in the store.",
        )
    if status in {200, 204}:
        return Finding.fault(
            "store",
            "The DICOM store answers a search, but not through its application entity AS_RECEIVED.",
            "Give the DCM4CHEE that entity, with QIDO-RS and WADO-RS, as its shipped configuration does.",
        )
    return Finding.fault(
        "store",
        f"The DICOM store answers a search with {status}: there is no DICOMweb at that address.",
        "Set KHEOPS_STORE_URL to the root of its DICOMweb service, such as http://127.0.0.1:8042/dicom-web.",
    )


def _is_open(store_url: str) -> bool:
    try:
        return _status(store_url, {}) not in _DENIED
    except CommandError:
        return False


def _status(store_url: str, authorization: dict[str, str]) -> int:
    url = f"{store_url}/instances?limit=1"
    return probe("GET", url, headers={"Accept": "application/dicom+json", **authorization}).status


def _basic(process: Process) -> dict[str, str]:
    settings = process.settings
    if settings.store_user is None or settings.store_password is None:
        return {}
    pair = f"{settings.store_user}:{process.secrets.reveal(settings.store_password)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
