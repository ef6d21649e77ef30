"""The token that the page makes: what it may do, that it is shown once, and that its curl lines work."""

import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from typing_extensions import override

from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of
from kheops.domain.principals import UserCapability
from kheops.errors import InvalidTokenError
from kheops.identity.own_tokens import hash_secret, looks_like_capability
from tests.service.pages.site import Browser, Site
from tests.service.read.catalog import PEPPER

NewBrowser = Callable[[], Browser]


def _made(site: Site) -> httpx.Response:
    async def use(new: NewBrowser) -> httpx.Response:
        browser = new()
        await browser.log_in("alice")
        response = await browser.post("/token", {"form_token": await browser.form_token()})
        assert response.status_code == 200
        secret = _secret(response)
        for path in ("/", "/token", "/studies"):
            assert secret not in (await browser.get(path)).text
        return response

    return site.run(use)


def _secret(response: httpx.Response) -> str:
    found = re.search(r'class="secret"[^>]*><code>([^<]*)</code>', response.text)
    assert found is not None
    return found[1]


def _commands(response: httpx.Response) -> list[str]:
    blocks = [unescape(block) for block in re.findall(r"<pre[^>]*><code>([^<]*)</code>", response.text)]
    return [block for block in blocks if block.startswith("curl ")]


def test_token_reads_and_writes_for_an_hour_and_nothing_more(site: Site) -> None:
    secret = _secret(_made(site))
    assert looks_like_capability(secret)
    ((sub, scope, read, write, appropriate, download, lifetime, secret_hash),) = site.catalog.rows(
        "SELECT u.sub, c.scope_type, c.read_permission, c.write_permission, c.appropriate_permission, "
        "c.download_permission, c.expires_at - c.not_before, c.secret_hash "
        "FROM capabilities c JOIN users u ON u.pk = c.user_pk"
    )
    assert (sub, scope, read, write, appropriate, download) == ("alice", "user", True, True, False, False)
    assert lifetime == timedelta(hours=1)
    assert secret_hash == hash_secret(secret, PEPPER.encode())
    ((_, maker, token_id, outcome, _),) = site.audited("capability-created")
    assert (maker, outcome) == ("alice", "granted")
    assert str(token_id).startswith("session:")


def test_api_takes_the_token_for_the_person_until_its_hour_is_over(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        secret = _secret(await browser.post("/token", {"form_token": await browser.form_token()}))
        principal = await site.process.authenticator.identify(secret, request_id="a test")
        assert isinstance(principal, UserCapability)
        assert principal.sub == "alice"
        site.clock.move(minutes=61)
        with pytest.raises(InvalidTokenError):
            await site.process.authenticator.identify(secret, request_id="a test")

    site.run(use)


def test_page_shows_a_line_for_each_of_qido_stow_and_wado_with_the_persons_own_study(site: Site) -> None:
    site.catalog.series(site.catalog.person("alice"), study="1.2.77", series="1.2.77.1")
    search, store, retrieve = _commands(_made(site))
    assert shlex.split(search)[-1] == "https://kheops.example/api/studies?limit=10"
    assert shlex.split(store)[-1] == "https://kheops.example/api/studies"
    assert shlex.split(retrieve)[-1] == "https://kheops.example/api/studies/1.2.77"


def test_page_of_somebody_without_studies_says_what_to_fill_in(site: Site) -> None:
    response = _made(site)
    assert shlex.split(_commands(response)[2])[-1] == "https://kheops.example/api/studies/STUDY_INSTANCE_UID"


class _Recording(BaseHTTPRequestHandler):
    """Takes any request and keeps it."""

    seen: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers, body))
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    @override
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def recorder() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Recording)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    _Recording.seen.clear()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_curl_sends_with_these_lines_what_dicomweb_wants(site: Site, recorder: HTTPServer, tmp_path: Path) -> None:
    response = _made(site)
    secret = _secret(response)
    (tmp_path / "image.dcm").write_bytes(b"\x00\r\n--bytes of a file")
    for command in _commands(response):
        here = command.replace("https://kheops.example", f"http://127.0.0.1:{recorder.server_port}")
        script = f"TOKEN={secret}\n{here}"
        done = subprocess.run(
            ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
    search, store, retrieve = _Recording.seen
    assert search[:2] == ("GET", "/api/studies?limit=10")
    assert retrieve[:2] == ("GET", "/api/studies/STUDY_INSTANCE_UID")
    assert retrieve[2]["accept"] == "application/zip"
    for _, _, headers, _ in (search, store, retrieve):
        assert headers["authorization"] == f"Bearer {secret}"
    assert store[:2] == ("POST", "/api/studies")
    assert store[2]["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    reader = MultipartReader(boundary_of(store[2]["content-type"]))
    events = list(reader.feed(store[3]))
    reader.close()
    (begin,) = [event for event in events if isinstance(event, PartBegin)]
    assert dict(begin.headers)["content-type"] == "application/dicom"
    data = b"".join(bytes(event.data) for event in events if isinstance(event, PartData))
    assert data == b"\x00\r\n--bytes of a file"
