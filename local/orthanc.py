"""Orthanc as the DICOM store of a stack: a real DICOMweb server, from Debian's packages."""

import json
import shutil
from pathlib import Path
from typing import Final

from local.dicom_store import DicomStore, basic_authorization
from local.kept_secrets import write_private
from local.processes import ProcessError, Processes, answers_http

__all__ = ["start_orthanc"]

_PLUGINS: Final = Path("/usr/share/orthanc/plugins")
_USER: Final = "kheops"


def start_orthanc(processes: Processes, folder: Path, *, port: int, password: str) -> DicomStore:
    """Start Orthanc with its data in ``folder``.

    Raises
    ------
    ProcessError
        If it is not installed or does not start.
    """
    # Debian installs it in /usr/sbin, which is not on the PATH of everybody.
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not (_PLUGINS / "libOrthancDicomWeb.so").exists():
        raise ProcessError("Orthanc or its DICOMweb plug-in is not installed; `local/setup.sh orthanc` installs them.")
    configuration = folder / "orthanc.json"
    write_private(configuration, json.dumps(_configuration(folder / "data", port, password), indent=2))
    address = f"http://127.0.0.1:{port}"
    processes.start(
        "orthanc",
        [program, str(configuration)],
        ready=lambda: answers_http(f"{address}/system", statuses=(200, 401)),
    )
    return DicomStore(
        dicomweb=f"{address}/dicom-web",
        authorization=lambda: basic_authorization(_USER, password),
        settings={
            "KHEOPS_STORE_KIND": "dicomweb",
            "KHEOPS_STORE_URL": f"{address}/dicom-web",
            "KHEOPS_STORE_USER": _USER,
            "KHEOPS_STORE_PASSWORD": password,
            "KHEOPS_ORTHANC_URL": address,
        },
    )


def _configuration(data: Path, port: int, password: str) -> dict[str, object]:
    return {
        "Name": "KHEOPS",
        "StorageDirectory": str(data),
        "IndexDirectory": str(data),
        "Plugins": [str(_PLUGINS)],
        "HttpServerEnabled": True,
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {_USER: password},
        "DicomServerEnabled": False,
        # A stored instance is never replaced: the catalog's digests say what its bytes are.
        "OverwriteInstances": False,
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": True,
            "WadoRoot": "/wado",
            "Ssl": False,
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    }
