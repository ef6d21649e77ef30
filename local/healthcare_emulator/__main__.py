"""The command: ``python -m local.healthcare_emulator --port 8085 --data .local/healthcare``."""

import argparse
import asyncio
import contextlib
import signal
import warnings
from pathlib import Path

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from local.healthcare_emulator.app import Emulator, StoreName
from local.healthcare_emulator.notifications import Notifications


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m local.healthcare_emulator",
        description="A DICOM store with the paths, answers and refusals of the Google Cloud Healthcare API.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="where to keep everything")
    parser.add_argument("--project", default="local")
    parser.add_argument("--location", default="local")
    parser.add_argument("--dataset", default="kheops")
    parser.add_argument("--store", default="kheops")
    parser.add_argument("--public-url", help="where clients reach it, if not at the Host that they name")
    parser.add_argument("--token-lifetime", type=int, default=3600, metavar="SECONDS")
    parser.add_argument(
        "--operation-seconds", type=float, default=0.2, metavar="SECONDS", help="how long a deletion takes"
    )
    parser.add_argument(
        "--push-url", metavar="URL", help="where to push notifications, as Pub/Sub does (default: nowhere)"
    )
    parser.add_argument(
        "--push-form",
        choices=("configs", "legacy"),
        default="configs",
        help="of notificationConfigs, or of the older notificationConfig (default: %(default)s)",
    )
    parser.add_argument(
        "--push-token-file",
        type=Path,
        metavar="FILE",
        help="the bearer token of pushes, read for each (default: none)",
    )
    options = parser.parse_args()
    name = StoreName(project=options.project, location=options.location, dataset=options.dataset, store=options.store)
    emulator = Emulator(
        options.data,
        name,
        public_url=options.public_url,
        token_lifetime=options.token_lifetime,
        operation_seconds=options.operation_seconds,
        notifications=Notifications(
            name.path, url=options.push_url, form=options.push_form, token_file=options.push_token_file
        ),
    )
    # Odd character sets are the business of whoever stored them; the log is for faults of the emulator.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")
    print(f"http://{options.host}:{options.port}/v1/{name.path}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(emulator, options.host, options.port))


async def _serve(emulator: Emulator, host: str, port: int) -> None:
    server = Server(
        emulator,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


if __name__ == "__main__":
    main()
