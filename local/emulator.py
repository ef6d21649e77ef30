"""The Healthcare API emulator as the DICOM store of a stack, with the metadata server that gives out its tokens."""

import json
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.dicom_store import DicomStore
from local.processes import Processes, listens

__all__ = ["start_emulator"]

_PROJECT: Final = "kheops-demo"
_LOCATION: Final = "europe-west6"
_DATASET: Final = "imaging"
_STORE: Final = "dicom"
_REPOSITORY: Final = Path(__file__).resolve().parent.parent
_TOKEN_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"


def start_emulator(processes: Processes, folder: Path, *, port: int, options: Sequence[str] = ()) -> DicomStore:
    """Start the emulator with its data in ``folder``, and further options of its command line.

    Raises
    ------
    ProcessError
        If it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}"
    processes.start(
        "emulator",
        [
            *(sys.executable, "-m", "local.healthcare_emulator"),
            *("--host", "127.0.0.1", "--port", str(port), "--data", str(folder), "--public-url", address),
            *("--project", _PROJECT, "--location", _LOCATION, "--dataset", _DATASET, "--store", _STORE),
            *options,
        ],
        ready=lambda: listens(port),
        folder=_REPOSITORY,
    )
    store = f"{address}/v1/projects/{_PROJECT}/locations/{_LOCATION}/datasets/{_DATASET}/dicomStores/{_STORE}"
    return DicomStore(
        dicomweb=f"{store}/dicomWeb",
        authorization=lambda: _bearer(address),
        settings={
            "KHEOPS_STORE_KIND": "google",
            "KHEOPS_STORE_URL": store,
            # google-auth asks here for the service account's token. It pings the address of GCE_METADATA_IP first.
            "GCE_METADATA_HOST": f"127.0.0.1:{port}",
            "GCE_METADATA_IP": f"127.0.0.1:{port}",
            "GOOGLE_CLOUD_PROJECT": _PROJECT,
        },
    )


def _bearer(address: str) -> str:
    request = urllib.request.Request(f"{address}{_TOKEN_PATH}", headers={"Metadata-Flavor": "Google"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return f"Bearer {json.load(answer)['access_token']}"
