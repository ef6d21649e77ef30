"""The step in which the service account's token ends."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Final

from local.smoke.caller import ANY_SYNTAX, expect
from local.smoke.dicom_files import DicomFile
from local.smoke.scene import Scene

__all__ = ["SHORT_LIVED", "credential_is_renewed"]

_LIFETIME: Final = 12
"""Seconds, of Google's hour. The services renew a token after ten seconds at the soonest."""
SHORT_LIVED: Final = ("--token-lifetime", str(_LIFETIME))
"""Options of the emulator, which is the metadata server too."""
_AT_ONCE: Final = 20


def credential_is_renewed(scene: Scene) -> None:
    """Nobody notices when the service account's token ends: the services have renewed it from the metadata server."""
    file, token = scene.data.shared[0], scene.stack.store.authorization()
    if not token.startswith("Bearer "):
        # A password does not end.
        return
    scene.tokens.append(token.removeprefix("Bearer "))
    deadline = time.monotonic() + 2 * _LIFETIME
    while scene.store_status(file, token) != HTTPStatus.UNAUTHORIZED:
        expect(time.monotonic() < deadline, "the store refuses a token at its end")
        scene.alice.call("GET", file.path, accept=ANY_SYNTAX, status=200)
        time.sleep(1)
    # Whatever token the services had when this began has ended as well.
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = threads.map(partial(_read, scene), [file] * _AT_ONCE)
        expect(list(answers) == [HTTPStatus.OK] * _AT_ONCE, "all who ask at once are answered")


def _read(scene: Scene, file: DicomFile) -> int:
    return scene.alice.call("GET", file.path, accept=ANY_SYNTAX).status_code
