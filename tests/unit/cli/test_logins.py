"""Logins: what the issuer may answer, and what may come to the port where the browser comes back."""

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from kheops.cli.browser_login import log_in_by_browser
from kheops.cli.device_login import log_in_by_device
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.issuer import Issuer, issuer_of
from kheops.cli.pkce import Proof
from tests.fakes.jwks_server import FakeIssuer, running

_GOOD = {"access_token": "access", "token_type": "Bearer", "expires_in": 300}


@pytest.fixture
def fake() -> Iterator[FakeIssuer]:
    with running() as issuer:
        yield issuer


def _issuer(fake: FakeIssuer, **changes: Any) -> Issuer:
    members: dict[str, Any] = {
        "iss": fake.issuer,
        "token_endpoint": f"{fake.issuer}/token",
        "authorization_endpoint": f"{fake.issuer}/authorize?tenant=one",
        "device_authorization_endpoint": f"{fake.issuer}/userinfo",  # which answers what the test puts there
        "revocation_endpoint": None,
        "scopes": ("openid",),
        "sends_iss": True,
        **changes,
    }
    return Issuer(**members)


def _device(fake: FakeIssuer, answers: list[tuple[int, object]]) -> tuple[list[float], list[str], Callable[[], Any]]:
    """Return what is waited and told, and the login, at an issuer that gives these answers one after the other."""
    fake.userinfo = (
        200,
        {
            "device_code": "d",
            "user_code": "AB-CD",
            "verification_uri": "https://idp/d",
            "expires_in": 60,
            "interval": 2,
        },
    )
    waits: list[float] = []
    told: list[str] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        fake.token = answers[min(len(waits), len(answers)) - 1]

    def work() -> Any:
        return log_in_by_device(_issuer(fake), "me", tell=told.append, sleep=sleep, monotonic=lambda: sum(waits))

    return waits, told, work


def test_device_login_waits_as_it_is_told(fake: FakeIssuer) -> None:
    pending, slower = (400, {"error": "authorization_pending"}), (400, {"error": "slow_down"})
    waits, told, work = _device(fake, [pending, slower, pending, (200, _GOOD)])
    assert work().access_token == "access"
    assert waits == [2, 2, 7, 7]
    assert "https://idp/d" in told[0]
    assert "AB-CD" in told[0]
    asked, redeemed = fake.asked[0].form, fake.asked[-1].form
    assert (redeemed["device_code"], redeemed["client_id"]) == ("d", "me")
    assert asked["code_challenge_method"] == "S256"
    assert len(redeemed["code_verifier"]) >= 43


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"error": "access_denied"}), "refused there"),
        ((400, {"error": "expired_token"}), "run out"),
        ((400, {"error": "authorization_pending"}), "run out"),
        ((400, {"error": "invalid_client"}), "invalid_client"),
        ((200, {"access_token": "a", "token_type": "DPoP"}), "no access token"),
    ],
)
def test_device_login_that_fails_says_why(fake: FakeIssuer, answer: tuple[int, object], words: str) -> None:
    _, _, work = _device(fake, [answer])
    with pytest.raises(CommandError, match=words):
        work()


def test_issuer_without_device_login_is_said(fake: FakeIssuer) -> None:
    with pytest.raises(CommandError, match="no login on another device"):
        log_in_by_device(_issuer(fake, device_authorization_endpoint=None), "me", tell=lambda _: None)


def _come_back(fake: FakeIssuer, *answers: Mapping[str, str]) -> tuple[list[int], Callable[[str], bool]]:
    """Return what the port answers, and a browser that brings these answers back, ``{state}`` filled in."""
    statuses: list[int] = []

    def open_address(address: str) -> bool:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

        def work() -> None:
            for answer in answers:
                filled = {name: value.replace("{state}", asked["state"]) for name, value in answer.items()}
                got = httpx.get(asked["redirect_uri"], params=filled, trust_env=False)
                statuses.append(got.status_code)

        threading.Thread(target=work, daemon=True).start()
        return True

    return statuses, open_address


def test_answers_to_other_logins_are_passed_over(fake: FakeIssuer) -> None:
    fake.token = (200, _GOOD)
    statuses, browser = _come_back(
        fake,
        {"code": "foreign", "state": "guessed", "iss": fake.issuer},
        {"code": "foreign", "iss": fake.issuer},
        {"code": "foreign", "state": "{state}", "iss": "https://other.example"},
        {"code": "foreign", "state": "{state}"},
        {"code": "own", "state": "{state}", "iss": fake.issuer},
    )
    tokens = log_in_by_browser(_issuer(fake), "me", tell=lambda _: None, open_address=browser, wait_seconds=20)
    assert tokens.access_token == "access"
    assert statuses[:4] == [400, 400, 400, 400]
    (redeemed,) = [each.form for each in fake.asked if each.path == "/token"]
    assert redeemed["code"] == "own"
    assert redeemed["redirect_uri"].startswith("http://127.0.0.1:")


def test_browser_login_that_is_refused_or_never_comes_is_said(fake: FakeIssuer) -> None:
    _, refusing = _come_back(fake, {"error": "access_denied", "state": "{state}", "iss": fake.issuer})
    with pytest.raises(CommandError, match="access_denied") as refused:
        log_in_by_browser(_issuer(fake), "me", tell=lambda _: None, open_address=refusing, wait_seconds=20)
    assert refused.value.code is ExitCode.NOT_LOGGED_IN
    with pytest.raises(CommandError, match="Nobody logged in"):
        log_in_by_browser(_issuer(fake), "me", tell=lambda _: None, open_address=lambda _: True, wait_seconds=0.1)


def test_port_that_is_taken_is_said(fake: FakeIssuer) -> None:
    port = urlsplit(fake.issuer).port
    assert port is not None
    with pytest.raises(CommandError, match=f"Port {port}"):
        log_in_by_browser(_issuer(fake), "me", tell=lambda _: None, port=port)


def test_issuer_that_names_another_or_has_a_plain_address_is_not_trusted(fake: FakeIssuer) -> None:
    good = dict(fake.metadata)
    # The fake serves one document at one path, so it is the issuer and the installation at once where it must be.
    fake.answer = lambda path: (  # type: ignore[method-assign]
        200,
        {"authorization_servers": [fake.issuer]} if path.endswith("resource") else fake.metadata,
    )
    assert issuer_of(fake.issuer).token_endpoint == f"{fake.issuer}/token"
    fake.metadata = {**good, "issuer": f"{fake.issuer}/"}
    with pytest.raises(CommandError, match="names another issuer"):
        issuer_of(fake.issuer)
    fake.metadata = {**good, "token_endpoint": "http://idp.example/token"}
    with pytest.raises(CommandError, match=r"token_endpoint .* is not https"):
        issuer_of(fake.issuer)
    with pytest.raises(CommandError, match="does not trust"):
        issuer_of(fake.issuer, wanted="https://other.example")


def test_proof_is_that_of_rfc_7636_and_is_not_shown() -> None:
    proof = Proof.new()
    digest = hashlib.sha256(proof.verifier.encode()).digest()
    assert proof.challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert proof.verifier not in repr(proof)
