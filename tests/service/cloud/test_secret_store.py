"""Secrets in files and in Secret Manager: read at start, rotated while running, refused when they cannot be had."""

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kheops.config import IssuerSettings, Settings
from kheops.errors import ConfigurationError
from kheops.identity.secret_store import SecretStore
from tests.fakes.secret_manager import FakeSecretManager, run_secret_manager

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEPPER = "projects/kheops-1/secrets/token-pepper"
SESSION = "session-0123456789abcdefghijklmnopqrs"


def _value(number: int) -> str:
    return f"pepper-{number}-0123456789abcdefghijklmnop"


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def manager() -> Iterator[FakeSecretManager]:
    with run_secret_manager() as manager:
        manager.add(PEPPER, _value(1), made=NOW - timedelta(days=100))
        yield manager


def _settings(**changes: object) -> Settings:
    given: dict[str, object] = {
        "public_url": "https://kheops.example",
        "database_url": "postgresql://kheops@db.example/kheops",
        "store_kind": "dicomweb",
        "store_url": "https://pacs.example/dicom-web",
        "issuers": [IssuerSettings(issuer="https://idp.example", audiences=("a",), access_token_typ="at+jwt")],
        "token_pepper": f"sm://{PEPPER}/versions/latest",
        "session_key": SESSION,
        "secret_refresh_seconds": 60,
        "secret_overlap_days": 10,
    }
    return Settings(**{**given, **changes})  # type: ignore[arg-type]


def _store(manager: FakeSecretManager, time: Time | None = None, **changes: object) -> tuple[SecretStore, Settings]:
    settings = _settings(**changes)
    return SecretStore(settings, manager=manager.reader(), clock=time or Time()), settings


def _keys(store: SecretStore, settings: Settings) -> list[str]:
    return [key.decode() for key in store.keyring(settings.token_pepper).accepted]


def test_new_version_verifies_at_once_signs_when_all_have_it_and_ends_the_old_one_after_the_overlap(
    manager: FakeSecretManager,
) -> None:
    time = Time()
    store, settings = _store(manager, time)
    store.read()
    ring = store.keyring(settings.token_pepper)
    assert _keys(store, settings) == [_value(1)]
    manager.add(PEPPER, _value(2), made=NOW)
    time.now += timedelta(seconds=60)
    store.refresh()
    assert _keys(store, settings) == [_value(1), _value(2)], "others may not have it yet"
    time.now += timedelta(seconds=60)
    store.refresh()
    assert _keys(store, settings) == [_value(2), _value(1)]
    assert ring.current.decode() == _value(2)
    time.now = NOW + timedelta(days=10, seconds=-1)
    store.refresh()
    assert _keys(store, settings) == [_value(2), _value(1)]
    time.now = NOW + timedelta(days=10)
    store.refresh()
    assert _keys(store, settings) == [_value(2)]


def test_process_that_starts_after_the_rotation_knows_the_version_before(manager: FakeSecretManager) -> None:
    manager.add(PEPPER, _value(2), made=NOW - timedelta(days=9))
    store, settings = _store(manager)
    store.read()
    assert _keys(store, settings) == [_value(2), _value(1)]


def test_disabled_version_ends_at_the_next_reading(manager: FakeSecretManager) -> None:
    manager.add(PEPPER, _value(2), made=NOW - timedelta(days=1))
    store, settings = _store(manager)
    store.read()
    assert _keys(store, settings) == [_value(2), _value(1)]
    manager.secrets[PEPPER][0].state = "DISABLED"
    store.refresh()
    assert _keys(store, settings) == [_value(2)]


def test_pinned_version_is_not_followed_by_a_newer_one(manager: FakeSecretManager) -> None:
    manager.add(PEPPER, _value(2), made=NOW - timedelta(days=2))
    manager.add(PEPPER, _value(3), made=NOW - timedelta(days=1))
    store, settings = _store(manager, token_pepper=f"sm://{PEPPER}/versions/2")
    store.read()
    assert _keys(store, settings) == [_value(2), _value(1)]


def test_payload_is_read_once_and_only_the_list_again(manager: FakeSecretManager) -> None:
    store, _ = _store(manager)
    store.read()
    for _ in range(3):
        store.refresh()
    assert manager.accesses == 1
    assert len(manager.asked) == 5


def test_versions_beyond_the_first_page_are_found(manager: FakeSecretManager) -> None:
    for number in range(2, 7):
        manager.add(PEPPER, _value(number), made=NOW - timedelta(days=8 - number))
    store, settings = _store(manager)
    store.read()
    assert _keys(store, settings) == [_value(number) for number in (6, 5, 4, 3, 2, 1)]


@pytest.mark.parametrize("fault", ["fails", "denied", "gone", "checksum", "not text", "weak", "disabled", "same"])
def test_reading_that_fails_later_changes_nothing_and_is_logged_without_a_value(
    fault: str, manager: FakeSecretManager, caplog: pytest.LogCaptureFixture
) -> None:
    store, settings = _store(manager)
    store.read()
    _break(manager, fault)
    store.refresh()
    assert _keys(store, settings) == [_value(1)]
    assert "secret.not_refreshed" in caplog.text or "secret.unsafe" in caplog.text
    assert "weak-value" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize("fault", ["fails", "denied", "gone", "checksum", "not text", "weak", "disabled", "same"])
def test_secret_that_cannot_be_had_at_start_is_a_fault_of_its_variable(fault: str, manager: FakeSecretManager) -> None:
    _break(manager, fault)
    store, _ = _store(manager)
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(store.open())
    assert len(caught.value.faults) == 1
    assert "KHEOPS_TOKEN_PEPPER" in caught.value.faults[0]
    assert "weak-value" not in str(caught.value)
    assert SESSION not in str(caught.value)


def _break(manager: FakeSecretManager, fault: str) -> None:
    match fault:
        case "same":
            manager.add(PEPPER, SESSION, made=NOW - timedelta(days=1))
        case "fails":
            manager.fails = True
        case "denied":
            manager.denies.add(PEPPER)
        case "gone":
            del manager.secrets[PEPPER]
        case "checksum":
            manager.add(PEPPER, _value(2), made=NOW - timedelta(days=1))
            manager.secrets[PEPPER][-1].crc32c = 1
        case "not text":
            manager.add(PEPPER, b"\xff" * 40, made=NOW - timedelta(days=1))
        case "weak":
            manager.add(PEPPER, "weak-value", made=NOW - timedelta(days=1))
        case "disabled":
            manager.secrets[PEPPER][0].state = "DESTROYED"
        case _:
            raise AssertionError(fault)


def test_all_faults_are_told_at_once(manager: FakeSecretManager, tmp_path: Path) -> None:
    manager.denies.add(PEPPER)
    store, _ = _store(manager, session_key=f"file:{tmp_path}/absent")
    with pytest.raises(ConfigurationError) as caught:
        store.read()
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["KHEOPS_TOKEN_PEPPER", "KHEOPS_SESSION_KEY"]


def test_secret_that_was_never_read_is_no_key(manager: FakeSecretManager) -> None:
    store, settings = _store(manager)
    with pytest.raises(ConfigurationError):
        store.keyring(settings.token_pepper)


def test_schedule_reads_again_goes_on_after_a_failure_and_ends(manager: FakeSecretManager) -> None:
    # The schedule runs by the machine's clock, what is new by the same.
    manager.secrets[PEPPER][0] = dataclasses.replace(manager.secrets[PEPPER][0], made=datetime.now(UTC))
    settings = _settings(secret_refresh_seconds=1)
    store = SecretStore(settings, manager=manager.reader())

    async def run() -> None:
        await store.open()
        manager.fails = True
        manager.add(PEPPER, _value(2), made=datetime.now(UTC) - timedelta(seconds=2))
        await asyncio.sleep(1.3)
        assert _keys(store, settings) == [_value(1)]
        manager.fails = False
        async with asyncio.timeout(10):
            while _keys(store, settings) == [_value(1)]:  # noqa: ASYNC110 - the schedule tells nobody
                await asyncio.sleep(0.1)
        await store.aclose()
        asked = len(manager.asked)
        await asyncio.sleep(1.2)
        assert len(manager.asked) == asked

    asyncio.run(run())
    assert set(_keys(store, settings)) == {_value(1), _value(2)}


def test_values_in_the_settings_need_no_schedule_and_no_client(manager: FakeSecretManager) -> None:
    store, settings = _store(manager, token_pepper=_value(7))

    async def run() -> int:
        await store.open()
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
    assert manager.asked == []
    assert _keys(store, settings) == [_value(7)]


def test_file_that_changes_is_taken_with_what_was_in_it_before(manager: FakeSecretManager, tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text(_value(1) + "\n")
    settings = _settings(token_pepper=f"file:{file}")
    store = SecretStore(settings, manager=manager.reader())
    store.read()
    assert _keys(store, settings) == [_value(1)]
    file.write_text(_value(2) + "\n")
    store.refresh()
    assert set(_keys(store, settings)) == {_value(1), _value(2)}
    file.write_text("")
    store.refresh()
    assert set(_keys(store, settings)) == {_value(1), _value(2)}


def test_passwords_and_client_secrets_are_told_in_their_newest_version_at_once(manager: FakeSecretManager) -> None:
    secret = "projects/kheops-1/secrets/client"
    manager.add(secret, "first", made=NOW - timedelta(days=1))
    issuer = IssuerSettings(
        issuer="https://idp.example",
        audiences=("a",),
        access_token_typ="at+jwt",
        client_id="kheops",
        client_secret=f"sm://{secret}/versions/latest",  # type: ignore[arg-type]
    )
    store, settings = _store(manager, issuers=[issuer], database_password=f"sm://{secret}/versions/latest")
    store.read()
    assert issuer.client_secret is not None
    assert settings.database_password is not None
    assert store.reveal(issuer.client_secret) == "first"
    manager.add(secret, "second", made=NOW)
    store.refresh()
    assert store.reveal(issuer.client_secret) == store.reveal(settings.database_password) == "second"


def test_secret_that_is_not_read_is_never_asked_for_and_its_reference_is_no_key(manager: FakeSecretManager) -> None:
    settings = _settings(session_key="sm://projects/kheops-1/secrets/session-key/versions/latest")
    store = SecretStore(settings, manager=manager.reader(), clock=Time(), reads=("KHEOPS_TOKEN_PEPPER",))
    store.read()
    store.refresh()
    assert store.reveal(settings.token_pepper) == _value(1)
    for tell in (store.reveal, store.keyring):
        with pytest.raises(ConfigurationError):
            tell(settings.session_key)


def test_who_reads_no_secret_needs_no_client(manager: FakeSecretManager) -> None:
    settings = _settings()
    store = SecretStore(settings, manager=manager.reader(), clock=Time(), reads=())
    asyncio.run(store.open())
    with pytest.raises(ConfigurationError):
        store.reveal(settings.token_pepper)
