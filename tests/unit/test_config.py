"""Settings: unsafe ones are refused, all faults at once, each naming its variable."""

import json
from pathlib import Path

import pytest

from kheops.config import load
from kheops.errors import ConfigurationError

ISSUER = {
    "issuer": "https://idp.example",
    "audiences": ["kheops"],
    "access_token_typ": "at+jwt",
}
GOOD = {
    "KHEOPS_PUBLIC_URL": "https://kheops.example",
    "KHEOPS_DATABASE_URL": "postgresql://kheops:secret-of-the-database@db.example/kheops",
    "KHEOPS_STORE_KIND": "dicomweb",
    "KHEOPS_STORE_URL": "https://pacs.example/dicom-web",
    "KHEOPS_ISSUERS": json.dumps([ISSUER]),
    "KHEOPS_TOKEN_PEPPER": "pepper-0123456789abcdefghijklmnopqrst",
    "KHEOPS_SESSION_KEY": "session-0123456789abcdefghijklmnopqrs",
}


def _load(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name in [*GOOD, *changes]:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**GOOD, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    load()


def test_a_safe_configuration_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _load(monkeypatch)


def _issuer(**changes: object) -> str:
    return json.dumps([{**ISSUER, **changes}])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((name, None) for name in GOOD),
        ("KHEOPS_PUBLIC_URL", "http://kheops.example"),
        ("KHEOPS_PUBLIC_URL", "https://kheops.example/path"),
        ("KHEOPS_PUBLIC_URL", "https://user:password@kheops.example"),
        ("KHEOPS_PUBLIC_URL", "kheops.example"),
        ("KHEOPS_DATABASE_URL", "mysql://db.example/kheops"),
        ("KHEOPS_DATABASE_URL", "postgresql://db.example"),
        ("KHEOPS_STORE_KIND", "memory"),
        ("KHEOPS_STORE_TOPIC", "projects/p/topics/t"),
        ("KHEOPS_STORE_TOPIC", "t"),
        ("KHEOPS_DELIVERY_QUEUE", "projects/p/locations/l/queues/q"),
        ("KHEOPS_DELIVERY_QUEUE", "http://cloudtasks.googleapis.com/v2/projects/p/locations/l/queues/q"),
        ("KHEOPS_DELIVERY_QUEUE", "https://cloudtasks.googleapis.com/v2/projects/p/locations/l/queues/q/tasks"),
        ("KHEOPS_STORE_URL", "http://pacs.example/dicom-web"),
        ("KHEOPS_STORE_USER", "proxy"),
        ("KHEOPS_TOKEN_PEPPER", "short"),
        ("KHEOPS_TOKEN_PEPPER", "a" * 64),
        ("KHEOPS_TOKEN_PEPPER", GOOD["KHEOPS_SESSION_KEY"]),
        ("KHEOPS_SESSION_KEY", "changeme"),
        ("KHEOPS_ISSUERS", "[]"),
        ("KHEOPS_ISSUERS", "not json"),
        ("KHEOPS_ISSUERS", "@/nowhere/issuers.json"),
        ("KHEOPS_ISSUERS", json.dumps([ISSUER, ISSUER])),
        ("KHEOPS_ISSUERS", _issuer(issuer="http://idp.example")),
        ("KHEOPS_ISSUERS", _issuer(audiences=[])),
        ("KHEOPS_ISSUERS", _issuer(audiences=[""])),
        ("KHEOPS_ISSUERS", _issuer(algorithms=["none"])),
        ("KHEOPS_ISSUERS", _issuer(algorithms=["HS256"])),
        ("KHEOPS_ISSUERS", _issuer(algorithms=[])),
        ("KHEOPS_ISSUERS", _issuer(access_token_typ=None)),
        ("KHEOPS_ISSUERS", _issuer(discovery_url="http://keycloak:8080")),
        ("KHEOPS_ISSUERS", _issuer(mispelt="x")),
        ("KHEOPS_ADMINISTRATORS", json.dumps([{"issuer": "https://other", "claim": "groups", "value": "admins"}])),
        ("KHEOPS_ALLOWED_ORIGINS", "*"),
        ("KHEOPS_ALLOWED_ORIGINS", "https://viewer.example/path"),
        ("KHEOPS_HELD_BYTES", "1024"),
        ("KHEOPS_FORWARDED_HOPS", "-1"),
        ("KHEOPS_LOG_LEVEL", "loud"),
    ],
)
def test_an_unsafe_configuration_is_refused_by_the_variable_s_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(monkeypatch, **{variable: value})
    assert any(variable in fault for fault in caught.value.faults), caught.value.faults


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(
            monkeypatch,
            KHEOPS_PUBLIC_URL="http://kheops.example",
            KHEOPS_TOKEN_PEPPER="short",
            KHEOPS_STORE_URL=None,
            KHEOPS_ISSUERS=_issuer(audiences=[], algorithms=["none"]),
        )
    told = "\n".join(caught.value.faults)
    for expected in ("PUBLIC_URL", "TOKEN_PEPPER", "KHEOPS_STORE_URL is not set", "audiences", "algorithms"):
        assert expected in told


def test_a_fault_never_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(monkeypatch, KHEOPS_TOKEN_PEPPER="tiny-secret", KHEOPS_DATABASE_URL="mysql://u:hidden-word@h/n")
    assert "tiny-secret" not in str(caught.value)
    assert "hidden-word" not in str(caught.value)


def test_http_is_taken_for_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _load(
        monkeypatch,
        KHEOPS_PUBLIC_URL="http://127.0.0.1:8080",
        KHEOPS_STORE_URL="http://localhost:8042/dicom-web",
        KHEOPS_ISSUERS=_issuer(issuer="http://127.0.0.1:9000"),
    )


def test_issuers_can_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "issuers.json"
    file.write_text(json.dumps([ISSUER]))
    _load(monkeypatch, KHEOPS_ISSUERS=f"@{file}")
