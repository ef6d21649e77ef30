"""``python -m tests.fakes.dcm4chee --port PORT --data FOLDER``: the stand-in on loopback."""

import argparse
import asyncio
import signal
import warnings
from pathlib import Path

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from tests.fakes.dcm4chee.app import Dcm4cheeFake


async def _serve(app: Dcm4cheeFake, port: int) -> None:
    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, websockets=False, log_level=LogLevels.error
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cap", type=int, default=1000)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")
    asyncio.run(_serve(Dcm4cheeFake(options.data, cap=options.cap), options.port))


if __name__ == "__main__":
    main()
