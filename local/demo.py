"""``make demo``: the whole system in the foreground until Ctrl-C, with what to try."""

import argparse
import os
import shutil
import sys
import time
from typing import Final

from local.ports import PortTakenError
from local.processes import ProcessError, unwinding_on_signals
from local.provider import ADMINISTRATORS
from local.stack import Stack, StackRunningError

__all__ = ["containers_hint", "main"]

_WATCH_SECONDS: Final = 1.0


def main() -> int:
    """Run the demo and return the exit status: 0 after Ctrl-C or ``kill``, 1 when something failed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--store", choices=("emulator", "orthanc"), default="emulator", help="the DICOM store")
    parser.add_argument("--idp", choices=("canaille", "keycloak"), default="canaille", help="the login provider")
    arguments = parser.parse_args()
    if shutil.which("docker") is not None:
        _say(containers_hint())
    try:
        with (
            unwinding_on_signals(status=0),
            Stack("demo", store=arguments.store, idp=arguments.idp, say=_say) as stack,
        ):
            print(_welcome(stack), flush=True)
            return _watch(stack)
    except KeyboardInterrupt:
        return 0
    except (PortTakenError, ProcessError, StackRunningError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def containers_hint() -> str:
    """Return what is said where Docker is at hand."""
    return (
        "Docker is here too: `docker compose -f local/compose.yaml up` runs the same with DCM4CHEE, Keycloak and OHIF."
    )


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def _watch(stack: Stack) -> int:
    while True:
        ended = stack.processes.ended()
        if ended is not None:
            raise ProcessError(f"{ended.name} ended by itself; the end of {ended.log}:\n{ended.log_tail()}")
        time.sleep(_WATCH_SECONDS)


def _welcome(stack: Stack) -> str:
    api = f"{stack.public_url}/api"
    logins = "\n".join(
        f"    {person.user_name:<6} password {person.password:<12} {person.email}"
        f"{'  (administrator)' if ADMINISTRATORS in person.groups else ''}"
        for person in stack.people
    )
    # Keycloak takes any port (RFC 8252 section 7.3), canaille the one that is registered.
    port = "" if stack.login_port is None else f" --port {stack.login_port}"
    return f"""
KHEOPS runs at {stack.public_url}

Log in with
{logins}

What to try: log in there as alice in one window and as bob in a private one. The page gives a token that stores and
reads; to share and to make links, take one that may do all that alice may:

    TOKEN=$(.venv/bin/python -m local.access_token {stack.public_url} alice)
    FILE=$(.venv/bin/python -c 'from pydicom.data import get_testdata_file as f; print(f("CT_small.dcm"))')

    # Store a file; bob and carol see nothing of it.
    curl -sS -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/dicom' \\
         -H 'Accept: application/dicom+json' --data-binary "@$FILE" {api}/studies

    # Find it.
    curl -sS -H "Authorization: Bearer $TOKEN" '{api}/studies?limit=5'

    # Make an album, put a series into it, let bob in (who has logged in once).
    curl -sS -H "Authorization: Bearer $TOKEN" -d name='Tumour board' {api}/albums
    curl -sS -H "Authorization: Bearer $TOKEN" -X PUT {api}/studies/STUDY/series/SERIES/albums/ALBUM
    curl -sS -H "Authorization: Bearer $TOKEN" -X PUT {api}/albums/ALBUM/users/bob@example.org

    # A link that anybody can read that album with, until it is revoked or expires.
    curl -sS -H "Authorization: Bearer $TOKEN" -d title=link -d scope_type=album -d album=ALBUM \\
         -d read_permission=true {api}/capabilities
    curl -sS {api}/link/THE_ACCESS_TOKEN/studies

The command line does all that, and more (docs/command-line.md):

    .venv/bin/kheops login {stack.public_url}{port}
    .venv/bin/kheops upload "$FILE"
    .venv/bin/kheops studies

Logs are in {stack.processes.logs}. Ctrl-C ends it, and in the background `kill {os.getpid()}` does; started again, it
finds its data again.
"""


if __name__ == "__main__":
    sys.exit(main())
