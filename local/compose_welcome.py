"""``python -m local.compose_welcome ADDRESS --viewer ADDRESS``: the first study of ``local/compose.yaml``; the logins.

The study is one of pydicom's, three series of MR. It is stored in the name of alice; storing it again changes nothing.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Final

import httpx
import pydicom

from local.keycloak import people_of_the_realm
from local.oidc_login import LoginError, log_in
from local.provider import ADMINISTRATORS, Client, Person

__all__ = ["main", "seed", "welcome"]

_FOLDER: Final = Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/98892003"
_STUDY: Final = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.1"
_OWNER: Final = "alice"
_SCRIPTS: Final = "kheops-curl"
_REDIRECT: Final = "http://127.0.0.1:1/signed-in"
"""Nothing listens there; the code is read from the redirect."""


class SeedingError(Exception):
    """The study could not be stored."""


def _files() -> list[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [path.read_bytes() for path in sorted(_FOLDER.rglob("*")) if path.is_file() and _is_of_study(path)]


def _is_of_study(path: Path) -> bool:
    return str(pydicom.dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID) == _STUDY


def seed(address: str) -> int:
    """Store the study at ``address`` in the name of alice and return how many instances it has.

    Raises
    ------
    SeedingError
        If not every instance is stored.
    LoginError
        If alice cannot log in.
    httpx.HTTPError
        If something cannot be reached, or refuses.
    """
    metadata = httpx.get(f"{address}/.well-known/oauth-protected-resource", timeout=30, trust_env=False)
    issuer = str(metadata.raise_for_status().json()["authorization_servers"][0])
    (owner,) = (person for person in people_of_the_realm() if person.user_name == _OWNER)
    client = Client(client_id=_SCRIPTS, name="KHEOPS scripts", redirect_uris=(_REDIRECT,))
    token = log_in(issuer, client, user_name=owner.user_name, password=owner.password)
    files = _files()
    boundary = os.urandom(16).hex()
    parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + body + b"\r\n" for body in files]
    answer = httpx.post(
        f"{address}/api/studies",
        content=b"".join(parts) + f"--{boundary}--\r\n".encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        },
        timeout=120,
        trust_env=False,
    )
    stored = len(answer.json().get("00081199", {}).get("Value", [])) if answer.is_success else 0
    if stored != len(files):
        raise SeedingError(f"{stored} of {len(files)} instances were stored; the answer was {answer.status_code}")
    return stored


def welcome(address: str, viewer: str, stored: int) -> str:
    """Return what is printed when everything runs."""
    logins = "\n".join(_login(person) for person in people_of_the_realm())
    return f"""
KHEOPS runs at {address}
The viewer (OHIF) runs at {viewer}

Log in with
{logins}

A study of {stored} images lies in the inbox of {_OWNER}.
"""


def _login(person: Person) -> str:
    role = "  (administrator)" if ADMINISTRATORS in person.groups else ""
    return f"    {person.user_name:<6} password {person.password:<12} {person.email}{role}"


def main() -> int:
    """Store the study, print the logins, and return the exit status: 0, or 1 with a reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m local.compose_welcome", description=__doc__)
    parser.add_argument("address", help="of our services")
    parser.add_argument("--viewer", required=True, metavar="ADDRESS", help="of OHIF")
    arguments = parser.parse_args()
    try:
        stored = seed(arguments.address)
    except (LoginError, SeedingError, httpx.HTTPError, LookupError, ValueError) as error:
        print(f"welcome: no study was stored: {error}", file=sys.stderr)
        return 1
    print(welcome(arguments.address, arguments.viewer, stored), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
