"""A report provider's configuration document is believed only as far as it speaks of its own origin."""

import json

import pytest

from kheops.domain.report_configuration import ProviderConfigurationError, ResponseType, parse_configuration
from kheops.domain.report_providers import same_origin

URL = "https://reports.example.org/kheops.json"
GOOD = {
    "redirect_uri": "https://reports.example.org/go",
    "response_type": "code",
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": "https://reports.example.org:443/keys",
}


def test_a_good_document_is_read() -> None:
    read = parse_configuration(json.dumps({**GOOD, "scope": "read", "contacts": ["x"], "other": {}}).encode(), URL)
    assert (read.redirect_uri, read.jwks_uri) == (GOOD["redirect_uri"], GOOD["jwks_uri"])
    assert read.response_type is ResponseType.CODE
    assert read.described == {"scope": "read", "contacts": ("x",)}


def test_a_provider_that_gets_tokens_needs_no_keys() -> None:
    read = parse_configuration(b'{"redirect_uri": "https://reports.example.org/", "response_type": "token"}', URL)
    assert (read.response_type, read.jwks_uri) == (ResponseType.TOKEN, None)


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": None},
        {"redirect_uri": "http://reports.example.org/go"},
        {"redirect_uri": "https://reports.example.org:444/go"},
        {"redirect_uri": "https://evil.example.org/go"},
        {"redirect_uri": "https://reports.example.org@evil.example.org/"},
        {"redirect_uri": "https://user@reports.example.org/"},
        {"redirect_uri": "https://reports.example.org/go#x"},
        {"redirect_uri": "https://reports.example.org/a b"},
        {"redirect_uri": "https://reports.example.org/\r\nX: y"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": 7},
        {"response_type": None},
        {"response_type": "id_token"},
        {"token_endpoint_auth_method": "none"},
        {"token_endpoint_auth_signing_alg": "HS256"},
        {"jwks_uri": None},
        {"jwks_uri": "https://elsewhere.example.org/keys"},
        {"client_name": ["x"]},
        {"client_name": "x" * 1025},
        {"contacts": "x"},
        {"contacts": [1]},
        {"contacts": ["x"] * 65},
    ],
)
def test_a_document_that_cannot_be_used_is_refused(change: dict[str, object]) -> None:
    document = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(ProviderConfigurationError):
        parse_configuration(json.dumps(document).encode(), URL)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProviderConfigurationError):
        parse_configuration(body, URL)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example.org/x", "https://a.example.org:443/y", True),
        ("http://a.example.org", "http://a.example.org:80/", True),
        ("https://A.example.org", "https://a.example.org", True),
        ("https://a.example.org", "http://a.example.org", False),
        ("https://a.example.org", "https://a.example.org:8443", False),
        ("https://a.example.org", "https://b.example.org", False),
        ("https://a.example.org:x", "https://a.example.org:x", False),
        ("/x", "/x", False),
    ],
)
def test_origins_are_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) is same
