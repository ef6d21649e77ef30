"""Loopback ports, chosen once for a stack and kept in ``.local/<name>/ports.json``.

An issuer whose port moves is another issuer, and makes everybody a stranger. So a port that somebody else has taken
meanwhile is an error, never a reason to choose again.
"""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["PortTakenError", "is_free", "kept_ports"]

_RANGE: Final = range(20000, 32000)
"""Below 32768, where Linux takes the ports of outgoing connections from, so that none of those gets in our way."""


class PortTakenError(Exception):
    """A port that a stack chose earlier is used by another program now."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on a loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a stopped server in TIME_WAIT do not hinder its next start.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def kept_ports(folder: Path, components: Iterable[str]) -> dict[str, int]:
    """Return a port for each component: the ones kept in ``folder``, and new ones for components that had none.

    Parameters
    ----------
    folder
        The stack's folder. Ports of its sibling folders are not chosen.
    components
        Names of those that will be started now.

    Raises
    ------
    PortTakenError
        If a kept port of one of ``components`` is in use.
    """
    file = folder / "ports.json"
    kept = _read(file)
    taken = set(kept.values())
    for sibling in folder.parent.glob("*/ports.json"):
        taken.update(_read(sibling).values())
    chosen = {}
    for component in components:
        port = kept.get(component)
        if port is None:
            port = _choose(taken)
            taken.add(port)
        elif not is_free(port):
            raise PortTakenError(
                f"Port {port} of {component} is in use by another program. {file} keeps it from an earlier start, "
                f"and it is not changed, because addresses and logins depend on it. End that program, or remove "
                f"{folder} to start anew without its data."
            )
        chosen[component] = port
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**kept, **chosen}, indent=2) + "\n", "utf-8")
    return chosen


def _read(file: Path) -> dict[str, int]:
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}


def _choose(taken: set[int]) -> int:
    while True:
        port = random.choice(_RANGE)
        if port not in taken and is_free(port):
            return port
