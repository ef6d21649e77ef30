"""What the emulator pushes to whoever wants to be told."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from typing_extensions import override

from tests.contract.archive.objects import study_of_series
from tests.contract.archive.real_stores import emulator

STORE = "projects/local/locations/local/datasets/kheops/dicomStores/kheops"


@dataclass
class Subscriber:
    """Takes pushes, and refuses as many as it is told to."""

    url: str = ""
    refuses: int = 0
    pushes: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)

    def wait(self, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + 10
        while not enough():
            assert time.monotonic() < until, self.pushes
            time.sleep(0.02)

    def told(self) -> list[tuple[str | None, str]]:
        """Return action and resource name of each message."""
        return [
            (
                body["message"].get("attributes", {}).get("action"),
                base64.b64decode(body["message"]["data"]).decode(),
            )
            for _, body in self.pushes
        ]


@contextmanager
def subscriber() -> Iterator[Subscriber]:
    fake = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.pushes.append((self.headers.get("Authorization"), body))
            refused = fake.refuses > 0
            fake.refuses -= refused
            self.send_response(503 if refused else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _name(ref: Any) -> str:
    return (
        f"{STORE}/dicomWeb/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}"
    )


def test_each_instance_that_is_stored_or_deleted_is_told_of(tmp_path: Path) -> None:
    (items,) = study_of_series(3)
    refs = [item.ref for item in items]
    token = tmp_path / "token"
    token.write_text("pushed\n")
    with (
        subscriber() as listener,
        emulator(tmp_path, "--push-url", listener.url, "--push-token-file", str(token)) as store,
    ):
        for _ in range(2):
            store.run(lambda archive: archive.store([item.held for item in items]))
        listener.wait(lambda: len(listener.pushes) == 6)
        assert sorted(listener.told()) == sorted(("StoreInstances", _name(ref)) for ref in refs * 2)
        attributes = listener.pushes[0][1]["message"]["attributes"]
        assert attributes["storeName"] == STORE
        assert attributes["seriesInstanceUID"] == refs[0].series_instance_uid
        assert listener.pushes[0][0] == "Bearer pushed"
        listener.pushes.clear()
        store.run(lambda archive: archive.delete_instance(refs[0]))
        listener.wait(lambda: len(listener.pushes) == 1)
        assert listener.told() == [("DeleteInstances", _name(refs[0]))]
        store.run(lambda archive: archive.delete_series(refs[0].series))
        listener.wait(lambda: len(listener.pushes) == 3)
        assert sorted(listener.told()) == sorted(("DeleteInstances", _name(ref)) for ref in refs)


def test_older_form_is_the_name_alone_and_silent_on_deletions(tmp_path: Path) -> None:
    (items,) = study_of_series(1)
    with (
        subscriber() as listener,
        emulator(tmp_path, "--push-url", listener.url, "--push-form", "legacy") as store,
    ):
        store.run(lambda archive: archive.store([items[0].held]))
        store.run(lambda archive: archive.delete_instance(items[0].ref))
        store.run(lambda archive: archive.store([items[0].held]))
        listener.wait(lambda: len(listener.pushes) == 2)
        assert listener.told() == [(None, _name(items[0].ref))] * 2
        assert all("attributes" not in body["message"] for _, body in listener.pushes)
        assert listener.pushes[0][0] is None


@pytest.mark.parametrize("refused", [1, 2])
def test_push_that_is_not_taken_comes_again(tmp_path: Path, refused: int) -> None:
    (items,) = study_of_series(1)
    with subscriber() as listener, emulator(tmp_path, "--push-url", listener.url) as store:
        listener.refuses = refused
        store.run(lambda archive: archive.store([items[0].held]))
        listener.wait(lambda: len(listener.pushes) == refused + 1)
        identifiers = {body["message"]["messageId"] for _, body in listener.pushes}
        assert len(identifiers) == 1


def test_older_form_tells_of_imports_where_that_is_set(tmp_path: Path) -> None:
    (items,) = study_of_series(1)
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "one.dcm").write_bytes(items[0].body)
    options = ("--push-form", "legacy", "--bucket", f"b={folder}", "--operation-seconds", "0.01")
    with subscriber() as listener:
        for number, imports in enumerate(((), ("--push-imports",))):
            data = tmp_path / str(number)
            data.mkdir()
            with emulator(data, "--push-url", listener.url, *options, *imports) as store:
                url = f"{store.root.removesuffix('/dicomWeb')}:import"
                wish = {"gcsSource": {"uri": "gs://b/*.dcm"}}
                name = httpx.post(url, headers=store.headers, json=wish).json()["name"]
                operation = f"{url.partition('/projects/')[0]}/{name}"
                until = time.monotonic() + 10
                while not httpx.get(operation, headers=store.headers).json().get("done"):
                    assert time.monotonic() < until
                    time.sleep(0.02)
                store.run(lambda archive: archive.store([items[0].held]))
                # What is stored is told of in any case, and comes last.
                expected = 1 + 2 * number
                listener.wait(lambda: len(listener.pushes) == expected)  # noqa: B023 - asked at once
        assert listener.told() == [(None, _name(items[0].ref))] * 3
