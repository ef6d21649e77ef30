"""The command: ``python -m local.healthcare_emulator --port 8085 --data .local/healthcare``."""

import argparse
import asyncio
import contextlib
import signal
import socket
import warnings
from pathlib import Path

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from local.healthcare_emulator.app import Emulator, StoreName
from local.healthcare_emulator.buckets import Buckets, bucket_of
from local.healthcare_emulator.faults import Fault, Faults, share_of
from local.healthcare_emulator.notifications import Notifications
from local.healthcare_emulator.quotas import Quotas


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
        "--push-imports", action="store_true", help="push what was imported in the older form too (sendForBulkImport)"
    )
    parser.add_argument(
        "--push-token-file",
        type=Path,
        metavar="FILE",
        help="the bearer token of pushes, read for each (default: none)",
    )
    parser.add_argument(
        "--bucket",
        type=bucket_of,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a folder that stands for the Cloud Storage bucket of gs://NAME/, for import and export",
    )
    parser.add_argument("--quota", type=int, metavar="N", help="DICOMweb requests a minute (default: any number)")
    parser.add_argument(
        "--quota-bytes", type=int, metavar="N", help="bytes of DICOMweb bodies a minute (default: any number)"
    )
    parser.add_argument(
        "--fault",
        type=share_of,
        action="append",
        default=[],
        metavar="FAULT=SHARE",
        help=f"what befalls which share of requests, such as 429=0.1; of {', '.join(Fault)}",
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="how long requests wait at most, before anything"
    )
    parser.add_argument("--fault-seed", type=int, default=0, metavar="N", help="where drawing faults begins")
    options = parser.parse_args()
    try:
        faults = Faults.of(options.fault, latency=options.latency, seed=options.fault_seed)
    except ValueError as error:
        parser.error(str(error))
    fault = _cannot_listen(options.host, options.port)
    if fault is not None:
        parser.error(fault)
    name = StoreName(project=options.project, location=options.location, dataset=options.dataset, store=options.store)
    emulator = Emulator(
        options.data,
        name,
        public_url=options.public_url,
        token_lifetime=options.token_lifetime,
        operation_seconds=options.operation_seconds,
        notifications=Notifications(
            name.path,
            url=options.push_url,
            form=options.push_form,
            imports=options.push_imports,
            token_file=options.push_token_file,
        ),
        faults=faults,
        buckets=Buckets(dict(options.bucket)),
        quotas=Quotas(operations=options.quota, ingress=options.quota_bytes),
    )
    # Odd character sets are the business of whoever stored them; the log is for faults of the emulator.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")
    print(f"http://{options.host}:{options.port}/v1/{name.path}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(emulator, options.host, options.port))


def _cannot_listen(host: str, port: int) -> str | None:
    """Return why no server can listen there, in words.

    Granian shares a port with whoever else lets it, and would take a part of their requests.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        return f"it cannot listen at {host}, port {port}: {getattr(error, 'strerror', None) or error}"
    return None


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
