import hashlib
import hmac
import math

import pytest

from kheops.identity.own_tokens import (
    CAPABILITY_LENGTH,
    hash_secret,
    looks_like_capability,
    looks_like_viewer_token,
    new_secret,
    new_viewer_secret,
)

PEPPER = b"p" * 16 + b"q" * 16


def test_new_secret_has_the_form_of_a_capability_and_128_bits() -> None:
    made = {new_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(looks_like_capability(secret) for secret in made)
    used = set("".join(made))
    assert math.log2(len(used)) * CAPABILITY_LENGTH > 128


def test_new_viewer_secret_has_a_form_of_its_own_and_256_bits() -> None:
    made = {new_viewer_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(looks_like_viewer_token(secret) and not looks_like_capability(secret) for secret in made)
    assert len(set("".join(secret[1:] for secret in made))) == 62
    assert not looks_like_viewer_token(new_secret())
    for other in ("v" * 43, "v" * 45, "w" * 44, "v" + "a" * 42 + "-", "v" + "a" * 43 + "\n", "v" + "é" * 43):
        assert not looks_like_viewer_token(other)


@pytest.mark.parametrize(
    "text",
    ["", "a" * 21, "a" * 23, "a" * 21 + "-", "a" * 22 + "\n", "é" + "a" * 21, "٣" * 22, "a" * 10 + "." + "a" * 11],
)
def test_other_text_does_not_look_like_a_capability(text: str) -> None:
    assert not looks_like_capability(text)


def test_hash_is_keyed_by_the_pepper() -> None:
    secret = new_secret()
    assert hash_secret(secret, PEPPER) == hmac.new(PEPPER, secret.encode(), hashlib.sha256).digest()
    assert hash_secret(secret, PEPPER) != hash_secret(secret, PEPPER[::-1])
    assert hash_secret(secret, PEPPER) != hash_secret(secret.swapcase(), PEPPER)


def test_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        hash_secret(new_secret(), PEPPER[:31])
