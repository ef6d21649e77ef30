"""What a secret setting may refer to; a mistyped reference is a fault and never taken for the secret."""

from pathlib import Path

import pytest

from kheops.domain.cloud_sql_instance import cloud_sql_instance
from kheops.domain.secret_references import FileReference, SecretManagerReference, is_strong, parse_reference
from kheops.identity.keyring import Keyring
from kheops.identity.secret_manager import crc32c


def test_references_are_told_from_secrets() -> None:
    assert parse_reference("sm://projects/p-1/secrets/S_a-1/versions/latest") == SecretManagerReference(
        "projects/p-1/secrets/S_a-1", None
    )
    assert parse_reference("sm://projects/123/secrets/s/versions/17") == SecretManagerReference(
        "projects/123/secrets/s", 17
    )
    assert parse_reference("file:/run/secrets/pepper") == FileReference(Path("/run/secrets/pepper"))
    assert parse_reference("0123456789abcdef0123456789abcdef") is None
    assert parse_reference("projects/p/secrets/s/versions/1") is None


@pytest.mark.parametrize(
    "text",
    [
        "sm:projects/p1/secrets/s/versions/1",
        "sm://projects/p1/secrets/s",
        "sm://projects/p1/secrets/s/versions/0",
        "sm://projects/p1/secrets/s/versions/newest",
        "sm://projects/p1/secrets/s/versions/1\n",
        "sm://projects/p1/locations/l/secrets/s/versions/1",
        "sm://projects/p1/secrets/../versions/1",
        "file:relative",
        "file:",
    ],
)
def test_mistyped_reference_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must look like") as caught:
        parse_reference(text)
    assert "p1" not in str(caught.value)


def test_short_and_made_up_keys_are_weak() -> None:
    assert is_strong("0123456789abcdef" * 2)
    assert not is_strong("0123456789abcdef0123456789abcde")
    assert not is_strong("a" * 64)


def test_keyring_has_each_key_once_and_none_that_is_short() -> None:
    one, two = b"1" * 32, b"2" * 32
    ring = Keyring(one, two, one)
    assert (ring.current, ring.accepted) == (one, (one, two))
    ring.exchange(two)
    assert (ring.current, ring.accepted) == (two, (two,))
    with pytest.raises(ValueError, match="32 bytes"):
        ring.exchange(one, b"short")
    assert ring.accepted == (two,)


def test_checksum_is_that_of_the_standard() -> None:
    # RFC 3720 appendix B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize(
    "query", ["cloud_sql=p:r", "cloud_sql=p:r:i&ip_type=x", "ip_type=private", "cloud_sql=p:r:i&cloud_sql=p:r:j",
              "cloud_sql=p:r:i&unix_sock=/x", "cloud_sql="],
)  # fmt: skip
def test_mistyped_cloud_sql_instance_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="names no"):
        cloud_sql_instance(query)


def test_cloud_sql_instance_is_private_by_default() -> None:
    found = cloud_sql_instance("cloud_sql=example.com:project:europe-west6:kheops")
    assert found is not None
    assert (found.name, found.ip_type) == ("example.com:project:europe-west6:kheops", "private")
    assert cloud_sql_instance("unix_sock=/x") is None
