"""Where logins are kept, and who can read them."""

import json
import stat
from pathlib import Path

import pytest

from kheops.cli.credential import KeptLogin
from kheops.cli.credentials import CredentialFile, Login
from kheops.cli.failure import CommandError, ExitCode
from tests.fakes.jwks_server import running


def _login(server: str = "https://a.example", **changes: object) -> Login:
    members: dict[str, object] = {
        "server": server,
        "issuer": "https://idp.example",
        "client_id": "kheops-desktop",
        "token_endpoint": "https://idp.example/token",
        "expires_at": 4e9,
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        **changes,
    }
    return Login(**members)  # type: ignore[arg-type]


def test_logins_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path / "kheops")
    file.keep(_login())
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert "access-1" not in repr(file.find(None))
    assert "refresh-1" not in repr(file.find(None))


def test_each_installation_has_a_login_and_the_latest_is_meant(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    assert file.find(None) is None
    first, second = _login(), _login("https://b.example", access_token="access-2")
    file.keep(first)
    file.keep(second)
    assert file.find(None) == second
    assert file.find("https://a.example") == first
    file.forget("https://b.example")
    assert file.find(None) == first
    file.forget("https://a.example")
    assert file.find(None) is None


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    file.keep(_login())
    file.path.chmod(0o604)
    with pytest.raises(CommandError, match="Others can read") as refused:
        file.find(None)
    assert refused.value.code is ExitCode.WRONG_USE


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"latest": "a", "logins": {"a": 1}}', '{"latest": "a", "logins": {"a": {"server": 1}}}']
)
def test_file_of_another_making_is_said_to_be(tmp_path: Path, text: str) -> None:
    file = CredentialFile(tmp_path)
    file.path.write_text(text, "utf-8")
    file.path.chmod(0o600)
    with pytest.raises(CommandError, match="not as this program writes it"):
        file.find(None)


def test_login_is_renewed_before_it_ends_and_what_others_renewed_is_taken(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    with running() as issuer:
        issuer.token = (
            200,
            {"access_token": "access-2", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-2"},
        )
        old = _login(token_endpoint=f"{issuer.issuer}/token", expires_at=0.0)
        file.keep(old)
        assert KeptLogin(old, file).token() == "access-2"
        (asked,) = issuer.asked
        assert (asked.form["grant_type"], asked.form["refresh_token"]) == ("refresh_token", "refresh-1")
        kept = json.loads(file.path.read_text("utf-8"))["logins"]["https://a.example"]
        assert (kept["access_token"], kept["refresh_token"]) == ("access-2", "refresh-2")
        # Another process that still has the old one finds the new one, and does not use a spent refresh token.
        assert KeptLogin(old, file).token() == "access-2"
        assert len(issuer.asked) == 1
        issuer.token = (400, {"error": "invalid_grant"})
        with pytest.raises(CommandError, match="The login has ended") as ended:
            KeptLogin(old, file).renew("access-2") and KeptLogin(_login(access_token="access-2"), file).renew(
                "access-2"
            )
        assert ended.value.code is ExitCode.NOT_LOGGED_IN
        issuer.token = (503, {})
        with pytest.raises(CommandError) as busy:
            KeptLogin(_login(access_token="access-2"), file).renew("access-2")
        assert busy.value.code is ExitCode.UNREACHABLE
