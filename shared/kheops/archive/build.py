"""Making the adapter that the settings ask for."""

from collections.abc import Callable

from pydantic import SecretStr

from kheops.archive.client import ClientLimits
from kheops.archive.port import Archive
from kheops.config import Settings

__all__ = ["archive_of"]


def archive_of(settings: Settings, reveal: Callable[[SecretStr], str] = SecretStr.get_secret_value) -> Archive:
    """Return the DICOM store of the settings. It connects when it is first used.

    Parameters
    ----------
    settings
        The settings.
    reveal
        Tells the value of a secret.
    """
    limits = ClientLimits(silence=settings.store_silence_seconds, prompt=settings.store_first_byte_seconds)
    if settings.store_kind == "google":
        from kheops.archive.google_healthcare import GoogleHealthcare  # brings google-auth along

        return GoogleHealthcare(settings.store_url, limits=limits)
    from kheops.archive.dicomweb_server import BasicAuthorization, DicomwebServer

    authorization = None
    if settings.store_user is not None and settings.store_password is not None:
        authorization = BasicAuthorization(user=settings.store_user, password=reveal(settings.store_password))
    if settings.store_kind == "dcm4chee":
        from kheops.archive.dcm4chee import Dcm4chee

        return Dcm4chee(settings.store_url, authorization=authorization, limits=limits)
    return DicomwebServer(
        settings.store_url, authorization=authorization, orthanc_url=settings.orthanc_url, limits=limits
    )
