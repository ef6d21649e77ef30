"""``kheops doctor`` finds what is wrong: each deliberate misconfiguration, at a running installation.

PostgreSQL, the login provider, the store and the services are real. That the provider does not know our client or our
callback shows with Keycloak alone (``tests/system/keycloak``): canaille says it after the login. What a proxy between
can break is tried with one that breaks it on purpose, on the way to the real services.
"""

import asyncio
import http.client
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

from kheops import clock
from kheops.clock import Clock
from kheops.jobs.doctor.examination import examine
from kheops.jobs.doctor.finding import Finding, Level
from local.stack import Stack
from tests.fakes.loopback import Answer, serve
from tests.system.command import Command

Change = Callable[[dict[str, str]], None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the whole system with canaille and Orthanc, which asks for a password."""
    settings = {"KHEOPS_ALLOWED_ORIGINS": "https://viewer.example"}
    with Stack("doctor", store="orthanc", root=tmp_path_factory.mktemp("doctor"), settings=settings) as running:
        yield running


@pytest.fixture
def examined(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """Examine with the stack's own settings but for a change."""

    def work(change: Change = lambda _: None, *, token: str | None = None, at: Clock = clock.now) -> list[Finding]:
        variables = dict(stack.services.environment)
        change(variables)
        for name in [name for name in os.environ if name.startswith("KHEOPS_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return asyncio.run(examine(token=token, clock=at))

    return work


def _faults(findings: list[Finding]) -> dict[str, str]:
    told: dict[str, str] = {}
    for finding in findings:
        if finding.is_fault:
            told[finding.check] = f"{told.get(finding.check, '')} {finding.says} {finding.mend}"
    return told


def _set(**values: str) -> Change:
    return lambda variables: variables.update({f"KHEOPS_{name}": value for name, value in values.items()})


def _issuer(**changes: object) -> Change:
    def change(variables: dict[str, str]) -> None:
        with open(variables["KHEOPS_ISSUERS"].removeprefix("@"), encoding="utf-8") as file:  # noqa: PTH123
            (issuer,) = json.load(file)
        variables["KHEOPS_ISSUERS"] = json.dumps([{**issuer, **changes}])
        if "issuer" in changes:
            del variables["KHEOPS_ADMINISTRATORS"]  # it names the issuer, too

    return change


def _database(**changes: str) -> Change:
    def change(variables: dict[str, str]) -> None:
        parts = urlsplit(variables["KHEOPS_DATABASE_URL"])
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        at = changes.get("at", parts.netloc.rpartition("@")[2])
        name = changes.get("name", parts.path.lstrip("/"))
        password = changes.get("password", password)
        variables["KHEOPS_DATABASE_URL"] = f"postgresql://{user}:{password}@{at}/{name}"

    return change


def test_nothing_is_wrong_with_an_installation_as_it_is(stack: Stack, examined: Callable[..., list[Finding]]) -> None:
    findings = examined(token=stack.access_token("alice"))
    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert {finding.check for finding in findings} == {
        "settings", "database", "schema", "clock", "store", "issuer", "login", "client", "token", "public address",
        "authorization header", "CORS", "upload size", "HTTP/2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (_set(TOKEN_PEPPER="too-short"), "settings", "KHEOPS_TOKEN_PEPPER"),
        (_set(SESSION_KEY="a" * 40), "settings", "must be random"),
        (_set(PUBLIC_URL="http://kheops.example.org"), "settings", "KHEOPS_PUBLIC_URL"),
        (_database(at="127.0.0.1:1"), "database", "does not answer"),
        (_database(password="wrong"), "database", "refuses our user or password"),
        (_database(name="nowhere"), "database", "no database of that name"),
        (_database(name="postgres"), "schema", "kheops migrate"),
        (_set(MAX_INSTANCES="1000"), "connections", "max_connections"),
        (_set(STORE_URL="http://127.0.0.1:1/dicom-web"), "store", "does not answer"),
        (_set(STORE_PASSWORD="wrong"), "store", "KHEOPS_STORE_PASSWORD"),
        (
            lambda variables: variables.update(KHEOPS_STORE_URL=variables["KHEOPS_STORE_URL"] + "-not"),
            "store",
            "no DICOMweb at that address",
        ),
        (_issuer(discovery_url="http://127.0.0.1:1/"), "issuer", "cannot be had"),
        (_issuer(algorithms=["ES384"]), "algorithms", "publishes no key"),
        (_issuer(client_secret="w" * 40), "client", "does not take our client's secret"),
        (_set(PUBLIC_URL="http://127.0.0.1:1"), "public address", "cannot be reached"),
        (_set(ALLOWED_ORIGINS="https://other.example"), "CORS", "https://other.example"),
    ],
    ids=lambda value: "" if callable(value) else value,
)
def test_misconfiguration_is_found_and_told_in_words(
    examined: Callable[..., list[Finding]], change: Change, check: str, words: str
) -> None:
    findings = examined(change)
    assert words in _faults(findings)[check], findings
    # The password of the database and the client's secret are in the settings, and must not be told.
    assert "wwwwww" not in str(findings)


def test_dcm4chee_without_its_second_entity_is_found(examined: Callable[..., list[Finding]]) -> None:
    with serve(lambda asked: Answer([], 200 if "/aets/DCM4CHEE/" in asked.path else 404)) as origin:
        findings = examined(_set(STORE_KIND="dcm4chee", STORE_URL=f"{origin}/dcm4chee-arc/aets/DCM4CHEE/rs"))
    assert "AS_RECEIVED" in _faults(findings)["store"]


def test_issuer_with_a_slash_too_much_is_found(stack: Stack, examined: Callable[..., list[Finding]]) -> None:
    assert "names another issuer" in _faults(examined(_issuer(issuer=f"{stack.issuer}/")))["issuer"]


def test_cause_is_found_whatever_the_installation_logs(examined: Callable[..., list[Finding]]) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        assert "refuses our user or password" in _faults(examined(_database(password="wrong")))["database"]
    finally:
        root.setLevel(before)
    assert logging.getLogger("kheops").level == logging.NOTSET


def test_services_with_other_settings_are_found(examined: Callable[..., list[Finding]]) -> None:
    findings = examined(_issuer(issuer="http://127.0.0.1:1"))
    assert "trusts other issuers" in _faults(findings)["public address"]


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (None, ("No credentials", "GOOGLE_APPLICATION_CREDENTIALS")),
        ("/nowhere/key.json", ("No credentials", "GOOGLE_APPLICATION_CREDENTIALS")),
        ("unreachable", ("No access token", "TransportError")),
    ],
)
def test_credentials_of_google_that_are_missing_are_told_from_a_wrong_store(
    examined: Callable[..., list[Finding]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    credentials: str | None,
    words: tuple[str, ...],
) -> None:
    def google(variables: dict[str, str]) -> None:
        for name in ("KHEOPS_STORE_USER", "KHEOPS_STORE_PASSWORD", "KHEOPS_ORTHANC_URL"):
            variables.pop(name, None)
        variables["KHEOPS_STORE_KIND"] = "google"
        variables["KHEOPS_STORE_URL"] = (
            "https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/dicomStores/s"
        )

    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    if credentials == "unreachable":
        file = tmp_path / "user.json"
        person = {"client_id": "i", "client_secret": "s", "refresh_token": "r", "type": "authorized_user"}
        file.write_text(json.dumps({**person, "token_uri": "http://127.0.0.1:1/"}), "utf-8")
        credentials = str(file)
    if credentials is not None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
    told = _faults(examined(google))["store"]
    assert all(each in told for each in words), told
    assert "KHEOPS_STORE_URL" not in told


@pytest.mark.parametrize("token", ["bogus", "a.b.c", ""])
def test_token_that_is_no_jwt_is_told_so(examined: Callable[..., list[Finding]], token: str) -> None:
    assert "no JWT" in _faults(examined(token=token))["token"]


def test_token_for_somebody_else_is_told_from_others(stack: Stack, examined: Callable[..., list[Finding]]) -> None:
    token = stack.access_token("alice")
    audience = _faults(examined(_issuer(audiences=["another"]), token=token))["audience"]
    assert "accepted" in audience
    assert "another" in audience
    assert token not in audience
    assert "no JWT" in _faults(examined(token="what is this"))["token"]
    late = _faults(examined(token=token, at=lambda: clock.now() + timedelta(hours=3)))
    assert "expired" in late["token"]


def test_clock_that_is_wrong_is_found(examined: Callable[..., list[Finding]]) -> None:
    findings = examined(at=lambda: clock.now() + timedelta(minutes=5))
    assert "behind ours" in _faults(findings)["clock"]
    assert len([finding for finding in findings if finding.check == "clock" and finding.is_fault]) == 3
    assert _faults(examined(at=lambda: clock.now() + timedelta(seconds=10))) == {}


def test_issuer_that_may_vouch_for_nobody_is_a_warning(examined: Callable[..., list[Finding]]) -> None:
    (warning,) = [each for each in examined(_issuer(email_domains=[])) if each.level is Level.WARNING]
    assert warning.check == "e-mail"


@pytest.mark.parametrize(
    ("breaks", "check", "words"),
    [
        ("adds-cors", "CORS", "any page"),
        ("drops-cors", "CORS", "may not call the API"),
        ("drops-authorization", "authorization header", "pass the header Authorization"),
        ("limits-size", "upload size", "client_max_body_size"),
        ("answers-itself", "public address", "Something else answers"),
    ],
)
def test_proxy_that_breaks_something_is_found(
    stack: Stack, examined: Callable[..., list[Finding]], breaks: str, check: str, words: str
) -> None:
    with _proxy(stack.public_url, breaks) as url:
        assert words in _faults(examined(_set(PUBLIC_URL=url)))[check]


def test_proxy_that_breaks_nothing_is_only_warned_of_http_1(
    stack: Stack, examined: Callable[..., list[Finding]]
) -> None:
    with _proxy(stack.public_url, "nothing") as url:
        findings = examined(_set(PUBLIC_URL=url))
    assert _faults(findings) == {}
    assert [each.check for each in findings if each.level is Level.WARNING] == ["HTTP/2"]


def test_command_tells_line_by_line_and_by_its_exit_code(stack: Stack, tmp_path: Any) -> None:
    good = Command(tmp_path, stack.services.environment)
    well = good.run("doctor", "--json")
    assert well.code == 0, well
    assert {each["level"] for each in well.json()} == {"ok"}
    ill = good.run("doctor", KHEOPS_STORE_PASSWORD="wrong")
    assert ill.code == 1
    assert "fault   store: The DICOM store refuses us with 401.\n        -> Mend KHEOPS_STORE_USER" in ill.out
    unsafe = good.run("doctor", "--json", KHEOPS_TOKEN_PEPPER="short")
    assert unsafe.code == 3
    assert json.loads(unsafe.out)[0]["check"] == "settings"


def test_commands_of_operation_print_their_result_as_json(stack: Stack, tmp_path: Any) -> None:
    command = Command(tmp_path, stack.services.environment)
    assert command.run("audit-verify", "--json").json() == {"whole": True, "breaks_at": None}
    assert command.run("deliver", "--json").json() == {"attempts": 0}
    reconciled = command.run("reconcile", "--json").json()
    assert reconciled["unanswered_by_the_store"] == 0
    assert command.run("purge", "--json").json() == {"begun": 0, "purged": 0, "left": 0}
    assert command.run("migrate", "--json").json()["version"].isdigit()
    # The log goes elsewhere.
    failed = command.run("migrate", "--json", KHEOPS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (failed.code, failed.out) == (1, "")
    assert "kheops doctor" in failed.err
    unsafe = command.run("reconcile", KHEOPS_TOKEN_PEPPER="short")
    assert (unsafe.code, unsafe.out) == (3, "")
    assert "KHEOPS_TOKEN_PEPPER" in unsafe.err


@contextmanager
def _proxy(behind: str, breaks: str) -> Iterator[str]:
    """Run a proxy that breaks one thing, and is true to the real services otherwise."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            if breaks == "answers-itself":
                self._answer(200, {"Content-Type": "text/html"}, b"<html>Welcome to nginx!")
                return
            if breaks == "limits-size" and int(self.headers.get("Content-Length", "0")) > 1024 * 1024:
                self._answer(413, {}, b"")
                return
            dropped = {"host", "content-length"}
            if breaks == "drops-authorization":
                dropped.add("authorization")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=30)
            connection.request(self.command, self.path, headers=headers)
            got = connection.getresponse()
            body = got.read().replace(behind.encode(), url.encode())
            connection.close()
            sent = {name: value for name, value in got.getheaders() if name.lower() != "content-length"}
            if breaks == "drops-cors":
                sent = {name: value for name, value in sent.items() if "access-control" not in name.lower()}
            if breaks == "adds-cors":
                sent["Access-Control-Allow-Origin"] = "*"
            self._answer(got.status, sent, body)

        do_GET = do_POST = do_OPTIONS = _pass_on  # noqa: N815 - the names are http.server's

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
