"""``kheops login`` at a real provider, and what comes after it."""

import json
import re
import stat
import time
from pathlib import Path

import httpx
import pytest

from local.keycloak import Keycloak
from local.oidc_login import new_browser, walk
from local.provider import Person
from tests.system.command import Command
from tests.system.keycloak.conftest import World

_ADDRESS = re.compile(r"https?://\S+")


def _kept(folder: Path) -> dict[str, str]:
    document = json.loads((folder / "kheops" / "credentials.json").read_text("utf-8"))
    (login,) = document["logins"].values()
    assert isinstance(login, dict)
    return login


def _change(folder: Path, **changes: object) -> None:
    file = folder / "kheops" / "credentials.json"
    document = json.loads(file.read_text("utf-8"))
    for login in document["logins"].values():
        login.update(changes)
    file.write_text(json.dumps(document), "utf-8")


def _log_in_by_browser(world: World, command: Command, person: Person) -> None:
    port = [] if world.stack.login_port is None else ["--port", str(world.stack.login_port)]
    process = command.start("login", world.stack.public_url, "--no-browser", *port)
    try:
        assert process.stderr is not None
        address = _ADDRESS.search(process.stderr.readline())
        assert address is not None
        with new_browser() as browser:
            back = walk(
                browser,
                address[0],
                until=lambda to: to.startswith("http://127.0.0.1:") and "/callback?" in to,
                user_name=person.user_name,
                password=person.password,
            )
            wrong = httpx.get(back.replace("state=", "state=x"), trust_env=False)
            assert wrong.status_code == 400
            page = httpx.get(back, trust_env=False)
        assert (page.status_code, "You are logged in" in page.text) == (200, True)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"You are logged in at {world.stack.public_url}.\n"), err
    finally:
        process.kill()
        process.wait()


def test_login_by_browser_is_kept_renewed_and_ended(world: World, tmp_path: Path) -> None:
    command = Command(tmp_path, {})
    person = world.person("alice")
    _log_in_by_browser(world, command, person)
    file = tmp_path / "kheops" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert command.run("studies").code == 0

    before = _kept(tmp_path)["access_token"]
    _change(tmp_path, expires_at=time.time() - 1)
    assert command.run("albums", "list").code == 0
    assert _kept(tmp_path)["access_token"] != before
    # Canaille's tokens tell the second in which they were made, and nothing else that differs: it fails to keep the
    # second of two that it makes for somebody in the same one.
    time.sleep(1.1)
    # Refused before its time: renewed once, and sent again.
    _change(tmp_path, access_token=f"{before[:-8]}AAAAAAAA")
    assert command.run("studies").code == 0

    file.chmod(0o640)
    seen = command.run("studies")
    assert (seen.code, "Others can read" in seen.err) == (2, True)
    file.chmod(0o600)
    old = _kept(tmp_path)["refresh_token"]
    ended = world.revokes_for_public_clients
    left = command.run("logout", "--json")
    assert left.json() == {"server": world.stack.public_url, "ended": ended}
    assert command.run("studies").code == 4
    if not ended:
        return
    form = {"grant_type": "refresh_token", "refresh_token": old, "client_id": "kheops-desktop"}
    assert httpx.post(world.endpoint("token_endpoint"), data=form, trust_env=False).status_code == 400


def test_login_on_another_device(world: World, tmp_path: Path) -> None:
    command = Command(tmp_path, {})
    person = world.person("bob")
    process = command.start("login", world.stack.public_url, "--device")
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        complete = _ADDRESS.search(lines[1])
        assert complete is not None, lines
        code = lines[0].split()[-1]
        assert code in complete[0]
        with new_browser() as browser:
            walk(
                browser,
                complete[0],
                until=lambda to: "device/status" in to,
                user_name=person.user_name,
                password=person.password,
            )
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.startswith("You are logged in")
    finally:
        process.kill()
        process.wait()
    assert command.run("studies").code == 0


def test_login_that_has_ended_at_the_provider_is_said(world: World, tmp_path: Path) -> None:
    command = Command(tmp_path, {})
    person = world.administration.new_person("gone")
    assert isinstance(world.provider, Keycloak)
    _log_in_by_browser(world, command, person)
    world.administration.disable(person.user_name)
    _change(tmp_path, expires_at=time.time() - 1)
    ended = command.run("studies")
    assert (ended.code, "kheops login" in ended.err) == (4, True), ended


def test_client_that_the_provider_does_not_know_is_said(world: World, tmp_path: Path) -> None:
    ended = Command(tmp_path, {}).run("login", world.stack.public_url, "--device", "--client-id", "nobody")
    assert ended.code == 4
    assert not (tmp_path / "kheops").exists()


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (("KHEOPS_ISSUERS", '"kheops-web"', '"nobody"'), "login", "refuses our login"),
        (("KHEOPS_PUBLIC_URL", "http://127.0.0.1", "http://localhost"), "login", "letter by letter"),
        (
            ("KHEOPS_ISSUERS", '"client_secret": "', '"client_secret": "x'),
            "client",
            "does not take our client's secret",
        ),
    ],
)
def test_doctor_finds_that_the_provider_does_not_know_us(
    world: World, tmp_path: Path, change: tuple[str, str, str], check: str, words: str
) -> None:
    variable, old, new = change
    variables = dict(world.stack.services.environment)
    variables["KHEOPS_ISSUERS"] = Path(variables["KHEOPS_ISSUERS"].removeprefix("@")).read_text("utf-8")
    assert old in variables[variable]
    variables[variable] = variables[variable].replace(old, new)
    ended = Command(tmp_path, variables).run("doctor", "--json")
    assert ended.code == 1, ended
    (found,) = [each for each in ended.json() if each["check"] == check]
    assert (found["level"], words in found["says"] + found["mend"]) == ("fault", True), found
