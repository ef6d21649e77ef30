"""What pages show, to whom, and with which headers."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import httpx
import pytest
from starlette.types import Message
from typing_extensions import override

from kheops import factory
from kheops.errors import ConfigurationError
from kheops.storage.engine import Database, connection_arguments
from kheops.web.pages_service import TABLE
from tests.service.pages.site import Browser, Site
from tests.service.read.catalog import Somebody

NewBrowser = Callable[[], Browser]
EVIL = "<script>alert(1)</script>"


def _filled(site: Site) -> tuple[Somebody, Somebody]:
    alice, bob = site.catalog.person("alice"), site.catalog.person("bob")
    site.catalog.series(
        alice,
        study="1.2.1",
        series="1.2.1.1",
        instances=3,
        PatientName=f"{EVIL}^Ann=山田^太郎",
        PatientID='"><img src=x onerror=alert(2)>',
        StudyDescription="{{ 7*7 }}",
        StudyDate="20240131",
        Modality="MR",
    )
    site.catalog.series(bob, study="1.2.1", series="1.2.1.2", PatientName="Hidden^Bob", Modality="CT")
    site.catalog.series(bob, study="9.9.9", series="9.9.9.1", PatientName="Hidden^Bob", Modality="CT")
    return alice, bob


def _page(site: Site, path: str, person: str = "alice") -> httpx.Response:
    async def use(new: NewBrowser) -> httpx.Response:
        browser = new()
        await browser.log_in(person)
        return await browser.get(path)

    return site.run(use)


@pytest.mark.parametrize("path", ["/", "/studies", "/studies?inbox=true"])
def test_list_shows_what_the_person_sees_and_nothing_of_others(site: Site, path: str) -> None:
    _filled(site)
    response = _page(site, path)
    assert response.status_code == 200
    assert '<code class="aside">1.2.1</code>' in response.text
    assert "2024-01-31" in response.text
    assert "MR" in response.text
    assert 'data-label="Series" class="number"><span class="value">1<' in response.text
    assert 'data-label="Instances" class="number"><span class="value">3<' in response.text
    for hidden in ("9.9.9", "Hidden", "Bob", ">CT<"):
        assert hidden not in response.text


@pytest.mark.parametrize("path", ["/", "/studies"])
def test_patients_names_are_text_and_never_markup(site: Site, path: str) -> None:
    _filled(site)
    text = _page(site, path).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, Ann (山田, 太郎)" in text
    assert "{{ 7*7 }}" in text
    assert "<script" not in text
    assert "<img src=x" not in text


def test_album_is_shown_to_its_members_with_what_it_holds(site: Site) -> None:
    alice, bob = _filled(site)
    album = site.catalog.album(bob, admins=(alice,))
    site.catalog.execute("UPDATE albums SET name = :name, description = :name WHERE pk = :pk", name=EVIL, pk=album.pk)
    site.catalog.series(album, study="1.2.5", series="1.2.5.1", PatientName="In^Album", Modality="US")

    async def use(new: NewBrowser) -> list[httpx.Response]:
        browser = new()
        await browser.log_in("bob")
        return [await browser.get(path) for path in ("/", "/albums", f"/albums/{album.id}")]

    home, albums, page = site.run(use)
    for response in (home, albums, page):
        assert response.status_code == 200
        assert "&lt;script&gt;alert(1)" in response.text
        assert "<script" not in response.text
    for response in (home, albums):
        assert f'href="/albums/{album.id}"' in response.text
    assert "1.2.5" in page.text
    assert "9.9.9" not in page.text
    assert "Alice" in page.text or "alice" in page.text
    assert "Administrator" in page.text
    read = site.catalog.rows("SELECT sub FROM audit WHERE kind = 'album-read' AND subject = :id", id=album.id)
    assert read == [("bob",)]


@pytest.mark.parametrize(
    ("person", "permitted", "offered"), [("alice", False, True), ("bob", True, True), ("bob", False, False)]
)
def test_archives_are_offered_to_those_who_may_take_them(
    site: Site, person: str, permitted: bool, offered: bool
) -> None:
    alice, bob = _filled(site)
    album = site.catalog.album(bob, admins=(alice,))
    site.catalog.execute("UPDATE albums SET download_series = :may WHERE pk = :pk", may=permitted, pk=album.pk)
    site.catalog.series(album, study="1.2.5", series="1.2.5.1", Modality="US")
    address = f'href="/api/studies/1.2.5?accept=application/zip&amp;album={album.id}" download'
    text = _page(site, f"/albums/{album.id}", person).text
    assert (address in text) is offered
    assert ('<th scope="col">Files</th>' in text) is offered


def test_archives_of_the_inbox_are_offered_and_none_where_some_may_not_be_taken(site: Site) -> None:
    _filled(site)
    address = 'href="/api/studies/1.2.1?accept=application/zip&amp;inbox=true" download'
    assert address in _page(site, "/studies?inbox=true").text
    # Here an album that gives no files may be the only way to a study.
    assert "accept=application/zip" not in _page(site, "/studies").text + _page(site, "/").text


def test_the_groups_of_an_album_are_shown_beside_its_people(site: Site) -> None:
    _, bob = _filled(site)
    album, other = site.catalog.album(bob), site.catalog.album(bob)
    site.catalog.execute(
        "INSERT INTO album_groups (album_pk, iss, value, added_at, added_by) "
        "SELECT pk, 'https://idp.example', 'Ra<b>diology', now(), (SELECT pk FROM users WHERE sub = 'bob') "
        "FROM albums WHERE pk = :pk",
        pk=album.pk,
    )

    async def use(new: NewBrowser) -> list[str]:
        browser = new()
        await browser.log_in("bob")
        return [(await browser.get(f"/albums/{each.id}")).text for each in (album, other)]

    with_group, without = site.run(use)
    assert "Ra&lt;b&gt;diology" in with_group
    assert "1 group<" in with_group
    assert "1 person<" in with_group
    assert 'id="groups"' not in without


def test_album_of_others_looks_like_one_that_does_not_exist(site: Site) -> None:
    _, bob = _filled(site)
    album = site.catalog.album(bob)

    async def use(new: NewBrowser) -> list[httpx.Response]:
        browser = new()
        await browser.log_in("alice")
        return [await browser.get(f"/albums/{name}") for name in (album.id, "neverExist")]

    hidden, absent = site.run(use)
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text == absent.text
    told = [{k: v for k, v in each.headers.items() if k != "x-request-id"} for each in (hidden, absent)]
    assert told[0] == told[1]
    refused = site.catalog.rows("SELECT sub, subject FROM audit WHERE kind = 'album-read' AND outcome = 'refused'")
    assert refused == [("alice", album.id), ("alice", "neverExist")]


def test_long_list_comes_in_pages(site: Site) -> None:
    alice = site.catalog.person("alice")
    for number in range(1, 53):
        site.catalog.series(alice, study=f"1.5.{number}", series=f"1.5.{number}.1", StudyDate=f"{1900 + number}0101")
    first = _page(site, "/studies").text
    assert "52 studies" in first
    assert "1 to 50 of 52" in first
    assert "1952-01-01" in first
    assert "1902-01-01" not in first
    assert 'rel="prev"' not in first
    (following,) = re.findall(r'rel="next" href="([^"]*)"', first)
    second = _page(site, following).text
    assert "51 to 52 of 52" in second
    assert "1902-01-01" in second
    assert 'rel="next"' not in second


def test_newcomer_is_told_how_to_begin(site: Site) -> None:
    text = _page(site, "/").text
    assert "You have no studies yet" in text
    assert "You are in no album yet" in text
    assert "<table" not in text


def test_every_page_that_is_not_public_sends_strangers_to_log_in(site: Site) -> None:
    guarded = [route for route in TABLE.routes if not route.public]
    assert {route.template for route in guarded} == {"/studies", "/albums", "/albums/{album}", "/token"}

    async def use(new: NewBrowser) -> None:
        stranger = new()
        for route in guarded:
            path = route.template.replace("{album}", "ABCDEFGHIJ")
            if "GET" in route.methods:
                response = await stranger.get(path)
                assert response.status_code == 303
                assert response.headers["location"].startswith("/?return_to=")
                assert response.content == b""
            if "POST" in route.methods:
                response = await stranger.post(path, {"form_token": "A" * 43})
                assert response.status_code == 403
                assert "log in" in response.text.lower()

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM capabilities") == 0


STATUSES = (
    ("/", 200),
    ("/studies", 200),
    ("/albums", 200),
    ("/token", 200),
    ("/nowhere", 404),
    ("/api/studies", 404),
    ("/api/albums", 404),
    ("/albums/neverExist", 404),
    ("/studies/1.2.3", 404),
    ("/assets/../main.py", 404),
    ("/assets/secret.css", 404),
    ("/studies?offset=-1", 400),
    ("/studies?inbox=maybe", 400),
    ("/studies?album=x", 400),
    ("/studies?offset=1&offset=2", 400),
    ("/token?a=b", 400),
    ("/logout", 405),
    ("/favicon.ico", 404),
)


def test_every_page_is_html_that_stays_with_its_reader(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        for path, status in STATUSES:
            response = await browser.get(path)
            assert (path, response.status_code) == (path, status)
            _stays_with_its_reader(response)

    site.run(use)


def _stays_with_its_reader(response: httpx.Response) -> None:
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    # With no-referrer, browsers send `Origin: null` with forms (Fetch standard, "append a request Origin header").
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["strict-transport-security"] == "max-age=31536000"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


class _Inline(HTMLParser):
    """What the page's own policy would not let the browser use."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.labelled: set[str] = set()
        self.ids: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style", "iframe", "object"}:
            self.found.append(tag)
        self.found.extend(name for name, _ in attrs if name == "style" or name.startswith("on"))
        self.ids.extend(value or "" for name, value in attrs if name == "id")
        self.labelled |= {value or "" for name, value in attrs if name in {"aria-labelledby", "aria-describedby"}}


def test_pages_need_nothing_that_their_policy_forbids_and_label_what_they_have(site: Site) -> None:
    alice, _ = _filled(site)
    album = site.catalog.album(admins=(alice,))

    async def use(new: NewBrowser) -> list[str]:
        browser = new()
        texts = [(await browser.get("/")).text]
        await browser.log_in("alice")
        paths = ("/", "/studies", "/albums", f"/albums/{album.id}", "/token", "/nowhere")
        texts += [(await browser.get(path)).text for path in paths]
        form = {"form_token": await browser.form_token()}
        texts.append((await browser.post("/token", form)).text)
        return texts

    for text in site.run(use):
        parser = _Inline()
        parser.feed(text)
        assert parser.found == []
        assert len(parser.ids) == len(set(parser.ids))
        assert parser.labelled <= set(parser.ids)
        assert text.startswith('<!doctype html>\n<html lang="en">')
        assert text.count("<h1") == 1


def test_assets_are_there_for_everybody_and_cached_by_their_content(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        for name, media_type in (
            ("kheops.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("leave.js", "text/javascript; charset=utf-8"),
        ):
            response = await browser.get(f"/assets/{name}")
            assert response.status_code == 200
            assert response.headers["content-type"] == media_type
            assert "set-cookie" not in response.headers
            again = await browser.get(f"/assets/{name}", if_none_match=response.headers["etag"])
            assert (again.status_code, again.content) == (304, b"")

    site.run(use)


@pytest.mark.parametrize("path", ["/nowhere", "/albums/neverExist", "/studies?offset=-1", "/logout"])
def test_page_of_an_error_keeps_the_navigation_of_its_reader(site: Site, path: str) -> None:
    async def use(new: NewBrowser) -> tuple[str, str]:
        browser = new()
        await browser.log_in("alice")
        return (await browser.get(path)).text, (await new().get(path)).text

    text, text_of_stranger = site.run(use)
    for link in ('href="/studies"', 'href="/albums"', 'action="/logout"', '<span class="name">Alice</span>'):
        assert link in text
        assert link not in text_of_stranger


def test_process_that_cannot_open_answers_with_a_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unopened() -> factory.Process:
        raise ConfigurationError(["KHEOPS_TOKEN_PEPPER is not set."])

    async def use(new: NewBrowser) -> list[httpx.Response]:
        browser = new()
        monkeypatch.setattr("kheops.web.asgi.open_process", unopened)
        return [await browser.get(path) for path in ("/", "/studies", "/robots.txt")]

    for response in site.run(use):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "Not available at the moment" in response.text
        assert "PEPPER" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; ")


def test_address_that_is_no_text_answers_with_a_page(site: Site) -> None:
    async def use(new: NewBrowser) -> list[Message]:
        new()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/\xff",
            "raw_path": b"/\xff",
            "query_string": b"",
            "headers": [],
        }
        await site.app(scope, receive, send)
        return sent

    start, *_ = site.run(use)
    assert start["status"] == 404
    assert dict(start["headers"])[b"content-type"].startswith(b"text/html")


def test_database_that_nobody_listens_at_makes_a_plain_page_that_says_to_try_again(site: Site) -> None:
    async def use(new: NewBrowser) -> httpx.Response:
        browser = new()
        await browser.log_in("alice")
        good = site.process.database
        site.process.database = Database(connection_arguments("postgresql://p@h/d?unix_sock=/nowhere/at.all"), size=1)
        try:
            return await browser.get("/studies")
        finally:
            await site.process.database.aclose()
            site.process.database = good

    response = site.run(use)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert "Try again in a moment" in response.text
    assert response.headers["x-request-id"] in response.text


def test_fault_of_ours_makes_a_page_that_tells_nothing_of_it(site: Site) -> None:
    async def use(new: NewBrowser) -> httpx.Response:
        browser = new()
        await browser.log_in("alice")
        site.catalog.execute("ALTER TABLE web_sessions RENAME TO elsewhere")
        return await browser.get("/studies")

    response = site.run(use)
    assert response.status_code == 500
    assert "It is our fault" in response.text
    assert "web_sessions" not in response.text


@pytest.mark.parametrize("path", ["/", "/studies", "/assets/kheops.css"])
def test_head_answers_as_get_without_a_body(site: Site, path: str) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        head, get = await browser.http.head(path), await browser.get(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b""

    site.run(use)
