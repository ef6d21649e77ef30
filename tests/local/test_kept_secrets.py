import stat
from pathlib import Path

from local.kept_secrets import kept_secrets, write_private


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = kept_secrets(folder, ["token-pepper", "session-key"])
    assert kept_secrets(folder, ["token-pepper", "session-key"]) == first
    assert first["token-pepper"] != first["session-key"]
    assert all(len(secret) >= 43 for secret in first.values())
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_a_secret_asked_for_later_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = kept_secrets(folder, ["token-pepper"])
    second = kept_secrets(folder, ["orthanc"])
    assert kept_secrets(folder, ["token-pepper", "orthanc"]) == {**first, **second}


def test_a_private_file_is_never_readable_by_others_not_even_one_that_was_before(tmp_path: Path) -> None:
    file = tmp_path / "canaille.toml"
    file.write_text("old", "utf-8")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text("utf-8") == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
