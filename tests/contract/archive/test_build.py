"""That each kind of store gets the adapter that it needs."""

import pytest

from kheops.archive.build import archive_of
from kheops.archive.dcm4chee import Dcm4chee
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.config import Settings
from kheops.errors import ConfigurationError

_STORES = {
    "dicomweb": (DicomwebServer, "https://pacs.example/dicom-web"),
    "dcm4chee": (Dcm4chee, "https://pacs.example/dcm4chee-arc/aets/DCM4CHEE/rs"),
    "google": (
        GoogleHealthcare,
        "https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/dicomStores/s",
    ),
}


def _settings(kind: str, url: str) -> Settings:
    values = {
        "public_url": "https://kheops.example",
        "database_url": "postgresql://kheops@127.0.0.1/kheops",
        "store_kind": kind,
        "store_url": url,
        "issuers": [{"issuer": "https://idp.example", "audiences": ["kheops"], "access_token_typ": "at+jwt"}],
        "token_pepper": "0123456789abcdefghijABCDEFGHIJ-+=pepper",
        "session_key": "0123456789abcdefghijABCDEFGHIJ-+=session",
    }
    return Settings.model_validate(values)


@pytest.mark.parametrize("kind", list(_STORES))
def test_each_kind_of_store_has_its_adapter(kind: str) -> None:
    expected, url = _STORES[kind]
    assert type(archive_of(_settings(kind, url))) is expected


def test_address_that_is_no_application_entity_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="DCM4CHEE"):
        archive_of(_settings("dcm4chee", "https://pacs.example/dicom-web"))
