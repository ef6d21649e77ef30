"""What hangs on the session key."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from kheops.identity.login import LoginRequest
from kheops.identity.sessions import LoginUnderWay, SessionSecrets

AT = datetime(2026, 5, 1, tzinfo=UTC)
LOGIN = LoginUnderWay(LoginRequest("https://i.example", "https://r.example/callback", "", "s", "n", "v"), "/studies")
SECRETS = SessionSecrets(b"0123456789abcdef" * 2)
OTHERS = SessionSecrets(b"another key 0123" * 2)


def test_secrets_are_new_each_time_and_have_256_bits() -> None:
    made = {SessionSecrets.new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(secret) for secret in made} == {43}


def test_hash_and_form_token_depend_on_key_and_secret_and_differ_from_each_other() -> None:
    one, two = SessionSecrets.new_secret(), SessionSecrets.new_secret()
    hashes = {SECRETS.hash_secret(one), SECRETS.hash_secret(two), OTHERS.hash_secret(one)}
    assert len(hashes) == 3
    tokens = {SECRETS.form_token(one), SECRETS.form_token(two), OTHERS.form_token(one)}
    assert len(tokens) == 3
    assert SECRETS.hash_secret(one) == SECRETS.hash_secret(one)
    assert SECRETS.form_token(one) == SECRETS.form_token(one)


@pytest.mark.parametrize("text", ["", "a", "a" * 42, "a" * 44, "a" * 42 + "\n", "é" * 43, "a" * 42 + "+"])
def test_what_is_no_secret_of_ours_has_no_hash(text: str) -> None:
    assert SECRETS.hash_secret(text) is None


def test_login_comes_out_as_it_went_in() -> None:
    opened = SECRETS.open_login(SECRETS.seal_login(LOGIN, at=AT), at=AT + timedelta(minutes=9))
    assert opened is not None
    assert (opened.request, opened.return_to) == (LOGIN.request, LOGIN.return_to)


def test_login_of_another_key_another_purpose_or_another_time_stays_shut() -> None:
    sealed = SECRETS.seal_login(LOGIN, at=AT)
    assert OTHERS.open_login(sealed, at=AT) is None
    assert SECRETS.open_login(SECRETS.seal_id_token("{}"), at=datetime.now(UTC)) is None
    assert SECRETS.open_login(sealed, at=AT + timedelta(minutes=10, seconds=2)) is None
    assert SECRETS.open_login(sealed, at=AT - timedelta(minutes=10)) is None
    assert SECRETS.open_login("ä", at=AT) is None


@pytest.mark.parametrize(
    "change", [lambda t: t + "====", lambda t: t[:9] + "\n" + t[9:], lambda t: t[:9] + "!" + t[9:]]
)
def test_login_has_one_spelling(change: Callable[[str], str]) -> None:
    sealed = SECRETS.seal_login(LOGIN, at=AT)
    assert SECRETS.open_login(sealed, at=AT) is not None
    assert SECRETS.open_login(change(sealed), at=AT) is None


def test_id_token_comes_out_under_its_key_only() -> None:
    sealed = SECRETS.seal_id_token("an.id.token")
    assert "an.id.token" not in sealed
    assert SECRETS.open_id_token(sealed) == "an.id.token"
    assert OTHERS.open_id_token(sealed) is None


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SessionSecrets(b"short")
