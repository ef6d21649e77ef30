"""Credentials, headers, routes and logs: what every request meets."""

import json
import logging
from collections.abc import Callable

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request

from kheops.errors import InvalidTokenError, MethodNotAllowedError, RouteNotFoundError
from kheops.observability import _JsonFormatter, get_logger
from kheops.web.call import AsgiResponse, Call
from kheops.web.credentials import authorization_token
from kheops.web.headers import api_headers, is_preflight, preflight_headers
from kheops.web.routing import Route, RouteTable, user_reference

ALLOWED = ("https://viewer.example",)


def _request(*headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Basic eDphYmM=", "abc"),
        ("basic OmFiYw==", "abc"),
    ],
)
def test_bearer_and_basic_carry_the_token_alike(header: str, token: str) -> None:
    assert authorization_token(_request(("authorization", header))) == token


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Digest abc", "abc", "", "Basic !!!", "Basic eDo=", "Basic eA==", "Basic eDphOmI=",
     "Basic eDphYmN=", "Basic eDphYmM", "Basic eDphYmM==", "Basic eDph\nYmM=", "Basic eDphYm M=",
     "Bearer " + "a" * 17_000],
)  # fmt: skip
def test_a_malformed_credential_is_refused(header: str) -> None:
    with pytest.raises(InvalidTokenError):
        authorization_token(_request(("authorization", header)))


def test_two_credentials_are_refused() -> None:
    with pytest.raises(InvalidTokenError):
        authorization_token(_request(("authorization", "Bearer a"), ("authorization", "Bearer b")))


def test_no_credential_is_none() -> None:
    assert authorization_token(_request()) is None


def _cors(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    return dict(headers).get(b"access-control-allow-origin")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://viewer.example", True),
        ("https://viewer.example.evil", False),
        ("http://viewer.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("*", False),
    ],
)
def test_an_origin_is_echoed_only_from_the_list(origin: str, allowed: bool) -> None:
    request = Headers({"origin": origin, "access-control-request-method": "GET"})
    for headers in (api_headers(request, ALLOWED), preflight_headers(request, ALLOWED)):
        assert _cors(headers) == (origin.encode() if allowed else None)
        assert b"access-control-allow-credentials" not in dict(headers)
        assert b"Origin" in dict(headers)[b"vary"]
        assert dict(headers)[b"x-content-type-options"] == b"nosniff"


def test_a_preflight_is_told_from_a_question_for_capabilities() -> None:
    asked = Headers({"origin": "https://viewer.example", "access-control-request-method": "GET"})
    assert is_preflight("OPTIONS", asked)
    assert not is_preflight("OPTIONS", Headers({"origin": "https://viewer.example"}))
    assert not is_preflight("GET", asked)
    allowed = dict(preflight_headers(asked, ALLOWED))[b"access-control-allow-headers"]
    for header in (b"authorization", b"accept", b"content-type", b"range", b"if-none-match", b"admin-reason"):
        assert header in allowed


async def _handler(call: Call) -> AsgiResponse:
    raise AssertionError(call)


TABLE = RouteTable(
    [
        Route(("GET",), "/albums/{album}", _handler),
        Route(("PUT", "DELETE"), "/albums/{album}/users/{user}", _handler),
    ]
)


def test_a_segment_is_decoded_after_the_split() -> None:
    _, params = TABLE.find("PUT", "/albums/abcdefghij/users/a%2Fb%40example.org")
    assert params == {"album": "abcdefghij", "user": "a/b@example.org"}


@pytest.mark.parametrize(
    "path",
    [
        "/albums/abcdefghi", "/albums/abcdefghijk", "/albums/abcdefghij/", "/albums/abcdefghi%6A", "/albums//users/x",
        "/albums/abcdefghij/users/", "/albums/abcdefghij/users/%00", "/albums/abcdefghij/users/%ff",
        "/albums/abcdefghij/users/a/b", "/albums/../albums/abcdefghij", "//albums/abcdefghij", "/ALBUMS/abcdefghij",
        "/albums/abcdefghij/users/" + "a" * 400,
    ],
)  # fmt: skip
def test_what_is_not_in_the_table_is_not_found(path: str) -> None:
    with pytest.raises(RouteNotFoundError):
        TABLE.find("PUT", path)


def test_another_method_tells_which_are_there() -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        TABLE.find("POST", "/albums/abcdefghij")
    assert caught.value.allowed == {"GET", "HEAD"}


def test_a_user_reference_keeps_what_people_s_names_have() -> None:
    assert user_reference("z%C3%BCrich%40example.org") == "zürich@example.org"


def _logged(act: Callable[[], None]) -> dict[str, object]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    logger = logging.getLogger("kheops.test")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    act()
    logger.removeHandler(handler)
    logged: dict[str, object] = json.loads(_JsonFormatter().format(records[0]))
    return logged


def test_the_text_of_an_exception_is_not_logged() -> None:
    def act() -> None:
        try:
            int("Doe^Jane")
        except ValueError:
            get_logger("kheops.test").exception("it.failed", request_id="r")

    logged = _logged(act)
    assert logged["event"] == "it.failed"
    assert logged["exception"] == "ValueError"
    assert logged["stack"]
    assert "Doe^Jane" not in json.dumps(logged)


def test_a_line_break_in_a_field_cannot_forge_a_line() -> None:
    logged = _logged(lambda: get_logger("kheops.test").info("x", field='a\n{"severity": "forged"}'))
    assert logged["field"] == 'a\n{"severity": "forged"}'
