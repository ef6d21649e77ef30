"""The way out to addresses that somebody else chose."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import pytest

from kheops.errors import BadRequestError, OutboundError
from kheops.outbound.guard import OutboundGuard, Resolve
from tests.unit.outbound.receiver import Receiver, receiver

T = TypeVar("T")


@pytest.fixture
def far() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def run(guard: OutboundGuard, body: Callable[[OutboundGuard], Awaitable[T]]) -> T:
    async def whole() -> T:
        try:
            return await body(guard)
        finally:
            await guard.aclose()

    return asyncio.run(whole())


def answering(*answers: Sequence[str]) -> tuple[Resolve, list[str]]:
    """Return a resolver that gives these answers one after the other, the last for good, and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


def post(url: str) -> Callable[[OutboundGuard], Awaitable[int]]:
    return lambda guard: guard.post(url, headers={"Content-Type": "application/json"}, body=b"{}")


def fetch(url: str, most: int = 1000) -> Callable[[OutboundGuard], Awaitable[bytes]]:
    return lambda guard: guard.fetch(url, accept="application/json", most=most)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "/path",
        "",
        "https://",
        "https://user:secret@example.org/",
        "https://user@example.org/",
        "https://@example.org/",
        "https://example.org/#part",
        "https://example.org:notaport/",
        "https://example.org:99999/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/",
        "https://localhost./",
        "https://a.localhost/",
        "https://exa mple.org/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org/\r\nHost: inside",
        "https://exämple.org/",
        "https://xn--/",
        "https://xn--a/",
        "https://[1::2::3]/",
        f"https://example.org/{'x' * 1024}",
    ],
)
def test_a_url_that_could_never_be_reached_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadRequestError):
        OutboundGuard().check(url)


@pytest.mark.parametrize("url", ["https://example.org/hook?key=1", "https://EXAMPLE.org:8443", "https://8.8.8.8/"])
def test_a_url_on_the_public_internet_passes_the_first_look(url: str) -> None:
    OutboundGuard().check(url)


def test_plain_http_is_a_setting_of_its_own() -> None:
    OutboundGuard(plain_http=True).check("http://example.org/")
    with pytest.raises(BadRequestError):
        OutboundGuard(plain_http=True).check("http://127.0.0.1/")


def test_an_allowed_destination_is_reached_whatever_it_is(far: Receiver) -> None:
    guard = OutboundGuard(allowed=[far.destination])
    assert run(guard, post(far.url)) == 200
    assert far.got[0].method == "POST"
    assert far.got[0].headers["host"] == far.destination
    assert far.got[0].body == b"{}"


def test_allowed_is_the_port_too(far: Receiver) -> None:
    with pytest.raises(BadRequestError):
        run(OutboundGuard(allowed=["127.0.0.1:1"]), post(far.url))
    assert far.got == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        # One of several is enough: which of them is connected to must not decide.
        ["8.8.8.8", "127.0.0.1"],
        [],
        ["no address"],
    ],
)
def test_a_name_that_leads_inside_is_not_reached(far: Receiver, addresses: list[str]) -> None:
    resolve, asked = answering(addresses)
    guard = OutboundGuard(plain_http=True, resolve=resolve)
    with pytest.raises(OutboundError):
        run(guard, post(f"http://public.example:{far.port}/"))
    assert asked == ["public.example"]
    assert far.got == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_another_writing_of_a_loopback_address_is_not_reached(far: Receiver, host: str) -> None:
    with pytest.raises((OutboundError, BadRequestError)):
        run(OutboundGuard(plain_http=True), post(f"http://{host}:{far.port}/"))
    assert far.got == []


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(far: Receiver) -> None:
    # The name is public when it is looked at. Whoever resolved it again to connect would get to the receiver.
    resolve, asked = answering(["192.0.2.1"], ["127.0.0.1"])
    guard = OutboundGuard(allowed=[f"rebound.example:{far.port}"], resolve=resolve, seconds=0.5)
    with pytest.raises(OutboundError):
        run(guard, post(f"http://rebound.example:{far.port}/"))
    assert asked == ["rebound.example"]
    assert far.got == []


def test_the_name_stays_in_the_host_header(far: Receiver) -> None:
    resolve, _ = answering(["127.0.0.1"])
    guard = OutboundGuard(allowed=[f"inner.example:{far.port}"], resolve=resolve)
    assert run(guard, post(f"http://inner.example:{far.port}/a?b=c")) == 200
    assert far.got[0].headers["host"] == f"inner.example:{far.port}"
    assert far.got[0].path == "/a?b=c"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(far: Receiver, status: int) -> None:
    far.status, far.headers = status, {"Location": f"{far.url}/inside"}
    guard = OutboundGuard(allowed=[far.destination])
    assert run(guard, post(far.url)) == status
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=[far.destination]), fetch(far.url))
    assert [got.path for got in far.got] == ["/hook", "/hook"]


def test_a_document_is_fetched(far: Receiver) -> None:
    far.answer = b"x" * 1000
    assert run(OutboundGuard(allowed=[far.destination]), fetch(far.url)) == far.answer
    assert far.got[0].headers["accept"] == "application/json"
    assert far.got[0].headers["accept-encoding"] == "identity"
    assert "cookie" not in far.got[0].headers


def test_a_document_over_its_size_is_refused(far: Receiver) -> None:
    far.answer = b"x" * 1001
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=[far.destination]), fetch(far.url))


@pytest.mark.parametrize("status", [201, 204, 400, 404, 500])
def test_a_document_is_a_200_and_nothing_else(far: Receiver, status: int) -> None:
    far.status = status
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=[far.destination]), fetch(far.url))


def test_a_compressed_document_is_refused(far: Receiver) -> None:
    far.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=[far.destination]), fetch(far.url))


def test_a_slow_answer_ends_in_time(far: Receiver) -> None:
    far.hold = lambda: time.sleep(1)
    began = time.monotonic()
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=[far.destination], seconds=0.3), post(far.url))
    assert time.monotonic() - began < 0.9


def test_nobody_who_listens_is_an_error(far: Receiver) -> None:
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=["127.0.0.1:9"]), post("http://127.0.0.1:9/"))


def test_another_address_of_the_name_is_tried(far: Receiver) -> None:
    resolve, _ = answering(["127.0.0.2", "127.0.0.1"])
    guard = OutboundGuard(allowed=[f"two.example:{far.port}"], resolve=resolve)
    assert run(guard, post(f"http://two.example:{far.port}/")) == 200


def test_a_resolver_that_fails_is_an_error() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError

    with pytest.raises(OutboundError):
        run(OutboundGuard(resolve=resolve), post("https://absent.example/"))


def test_refused_and_silent_are_not_told_apart() -> None:
    inside, _ = answering(["10.0.0.1"])
    silent = OutboundGuard(allowed=["127.0.0.1:9"])
    errors = []
    for guard, url in ((OutboundGuard(resolve=inside), "https://inside.example/"), (silent, "http://127.0.0.1:9/")):
        with pytest.raises(OutboundError) as raised:
            run(guard, post(url))
        errors.append((raised.value.code, raised.value.detail))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("host", ["a..b", ".", "a" * 300, "1.2.3.4.5"])
def test_a_name_that_no_resolver_takes_is_an_error_like_any_other(host: str) -> None:
    with pytest.raises((OutboundError, BadRequestError)):
        run(OutboundGuard(), post(f"https://{host}/"))


def test_a_proxy_of_the_environment_is_not_used(far: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    # It would resolve the name anew, and connect wherever that leads.
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{far.destination}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    resolve, _ = answering(["127.0.0.1"])
    with pytest.raises(OutboundError):
        run(OutboundGuard(allowed=["hook.example:9"], resolve=resolve), post("http://hook.example:9/"))
    assert far.got == []


def test_no_connection_is_kept_for_another_name_of_the_same_address(far: Receiver) -> None:
    # Over TLS, the certificate of a kept connection is the first name's, and nobody looks at the second's.
    ports: list[int] = []
    far.connected = ports.append
    resolve, _ = answering(["127.0.0.1"])
    guard = OutboundGuard(allowed=[f"{name}.example:{far.port}" for name in ("one", "two")], resolve=resolve)

    async def both(guard: OutboundGuard) -> None:
        for name in ("one", "two"):
            body = await guard.fetch(f"http://{name}.example:{far.port}/", accept="application/json", most=1000)
            assert body == far.answer

    run(guard, both)
    assert len(set(ports)) == 2
