"""Links over the running system: what a visitor sees, what ends it, and the page in a real browser."""

import io
import re
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from tests.dicom_files import a_file, new_uid
from tests.postgres import Server
from tests.system.chromium import CHROMIUM, Tab, open_tab
from tests.system.running import System, start_system

MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Place:
    study: str
    series: str
    instance: str

    @property
    def of_series(self) -> str:
        return f"/studies/{self.study}/series/{self.series}"


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with start_system(postgres, tmp_path_factory.mktemp("links")) as running:
        yield running
        logs = running.log_text()
    assert not [secret for secret in running.secrets_used if secret in logs]


def store(
    system: System, sub: str, *, study: str | None = None, name: str = "Vis^Ible", album: str | None = None
) -> Place:
    place = Place(study or new_uid(), new_uid(), new_uid())
    file = a_file(study=place.study, series=place.series, instance=place.instance, patient_name=name)
    assert system.store_files(sub, file, album=album).status_code == 200
    return place


def make(system: System, by: str, **form: object) -> dict[str, str]:
    with system.client(by) as client:
        made = client.post("/links", data={"title": "For the council", **form})
    assert made.status_code == 201, made.text
    found: dict[str, str] = made.json()
    system.secrets_used.add(found["secret"])
    return found


def open_link(system: System, link: dict[str, str], passcode: str | None = None) -> httpx.Response:
    with system.client() as client:
        form = {"secret": link["secret"]} | ({} if passcode is None else {"passcode": passcode})
        return client.post(f"/links/{link['id']}/open", data=form)


def visit(system: System, link: dict[str, str]) -> httpx.Client:
    opened = open_link(system, link)
    assert opened.status_code == 200, opened.text
    assert opened.headers["cache-control"] == "no-store"
    token = opened.json()["access_token"]
    system.secrets_used.add(token)
    return system.client(token=token)


def shown(client: httpx.Client) -> set[str]:
    found = client.get("/series")
    assert found.status_code == 200, found.text
    return {each["0020000E"]["Value"][0] for each in found.json()}


def test_a_selection_shows_exactly_itself(system: System) -> None:
    one = store(system, "ann")
    other = store(system, "ann", study=one.study)
    elsewhere = store(system, "ann")
    link = make(system, "ann", series=[f"{one.study}/{one.series}", f"{elsewhere.study}/{elsewhere.series}"])
    with visit(system, link) as client:
        assert shown(client) == {one.series, elsewhere.series}
        study = client.get(f"/studies?StudyInstanceUID={one.study}").json()[0]
        assert study["00201206"]["Value"] == [1]
        assert client.get(f"{one.of_series}/metadata").status_code == 200
        assert client.get(f"{one.of_series}/instances/{one.instance}").status_code == 200
        for path in (f"{other.of_series}/metadata", f"{other.of_series}/instances/{other.instance}"):
            assert client.get(path).status_code == 404
        assert client.get("/studies?inbox=true").status_code == 403


def test_a_link_for_viewing_gives_no_whole_study_or_series(system: System) -> None:
    place = store(system, "ann")
    paths = (f"/studies/{place.study}", place.of_series)
    with visit(system, make(system, "ann", study=place.study)) as client:
        assert [client.get(path, headers={"Accept": MULTIPART}).status_code for path in paths] == [403, 403]
        assert client.get(f"/studies/{new_uid()}", headers={"Accept": MULTIPART}).status_code == 403
        assert client.get(f"/studies/{place.study}", headers={"Accept": "application/zip"}).status_code == 403
    with visit(system, make(system, "ann", study=place.study, download_permission="true")) as client:
        assert [client.get(path, headers={"Accept": MULTIPART}).status_code for path in paths] == [200, 200]


def test_a_visitor_only_reads(system: System) -> None:
    place = store(system, "ann")
    with system.client("ann") as ann:
        album = ann.post("/albums", data={"name": "Ours"}).json()["album_id"]
    link = make(system, "ann", study=place.study, download_permission="true")
    with visit(system, link) as client:
        for method, path, form in (
            ("PUT", f"/studies/{place.study}", None),
            ("DELETE", f"/studies/{place.study}", None),
            ("PUT", f"{place.of_series}/users/bea@example.org", None),
            ("PUT", f"{place.of_series}/favorites?inbox=true", None),
            ("GET", f"/studies/{place.study}/comments", None),
            ("POST", f"/studies/{place.study}/comments", {"comment": "x"}),
            ("GET", "/albums", None),
            ("POST", "/links", {"title": "x", "study": place.study}),
            ("GET", "/links", None),
            ("POST", "/capabilities", {"title": "x", "scope_type": "user", "read_permission": "true"}),
            ("GET", "/inboxinfo", None),
        ):
            assert client.request(method, path, data=form).status_code == 403, (method, path)
        assert client.get(f"/albums/{album}").status_code == 404
        assert client.put(f"{place.of_series}/albums/{album}").status_code == 404
        told = client.post("/token/introspect", data={"token": client.headers["authorization"].split()[1]}).json()
        assert (told["active"], told["scope"], "sub" in told) == (True, "viewer read", False)
    file = a_file(study=place.study, series=place.series, instance=new_uid())
    with visit(system, link) as client:
        stored = client.post("/studies", content=file, headers={"Content-Type": "application/dicom"})
        assert stored.status_code == 403


def test_an_album_link_shows_the_album_as_it_is_now(system: System) -> None:
    place, later = store(system, "ann"), store(system, "ann")
    with system.client("ann") as ann, system.client("bea") as bea:
        assert bea.get("/albums").status_code == 200
        album = ann.post("/albums", data={"name": "Tumour board"}).json()["album_id"]
        assert ann.put(f"{place.of_series}/albums/{album}").status_code == 201
        link = make(system, "ann", album=album)
        opened = open_link(system, link).json()
        system.secrets_used.add(opened["access_token"])
        assert opened["name"] == "Tumour board"
        with visit(system, link) as client:
            assert shown(client) == {place.series}
            assert ann.put(f"{later.of_series}/albums/{album}").status_code == 201
            assert shown(client) == {place.series, later.series}
            assert client.get(f"/series?album={album}").status_code == 200
            assert ann.delete(f"{place.of_series}/albums/{album}").status_code == 204
            assert shown(client) == {later.series}
            # A link of an administrator ends with that.
            assert ann.put(f"/albums/{album}/users/bea@example.org/admin").status_code == 204
            assert ann.delete(f"/albums/{album}/users/ann@example.org/admin").status_code == 204
            assert client.get("/series").status_code == 401
    assert open_link(system, link).status_code == 404


def test_a_selection_shrinks_with_what_its_creator_may_send(system: System) -> None:
    with system.client("ann") as ann, system.client("bea") as bea:
        assert bea.get("/albums").status_code == 200
        album = ann.post("/albums", data={"name": "Ours"}).json()["album_id"]
        assert ann.put(f"/albums/{album}/users/bea@example.org").status_code == 201
        place = store(system, "ann")
        own = store(system, "bea")
        assert ann.put(f"{place.of_series}/albums/{album}").status_code == 201
        link = make(system, "bea", study=[place.study, own.study])
        with visit(system, link) as client:
            assert shown(client) == {place.series, own.series}
            assert ann.patch(f"/albums/{album}", data={"sendSeries": "false"}).status_code == 200
            assert shown(client) == {own.series}
            assert client.get(f"{place.of_series}/metadata").status_code == 404
            assert ann.patch(f"/albums/{album}", data={"sendSeries": "true"}).status_code == 200
            assert shown(client) == {place.series, own.series}
            assert ann.delete(f"/albums/{album}/users/bea@example.org").status_code == 204
            assert shown(client) == {own.series}


def test_revoking_and_suspending_end_what_is_open_at_once(system: System) -> None:
    place = store(system, "cleo")
    link, other = (make(system, "cleo", study=place.study) for _ in range(2))
    with visit(system, link) as client, visit(system, other) as kept, system.client("cleo") as cleo:
        assert client.get(f"{place.of_series}/metadata").status_code == 200
        revoked = cleo.post(f"/links/{link['id']}/revoke")
        assert (revoked.status_code, revoked.json()["revoked"], revoked.json()["uses"]) == (200, True, 1)
        for path in ("/series", f"{place.of_series}/metadata"):
            assert client.get(path).status_code == 401
        assert kept.get("/series").status_code == 200
        system.run_sql("UPDATE users SET suspended_at = now() WHERE sub = 'cleo'")
        assert kept.get(f"{place.of_series}/metadata").status_code == 401
    unknown = open_link(system, {"id": "Zz00000000", "secret": other["secret"]})
    for each in (link, other):
        answer = open_link(system, each)
        assert (answer.status_code, answer.json()) == (404, unknown.json())
        assert {*answer.headers} == {*unknown.headers}


def test_requests_that_cannot_be_understood_are_told_so(system: System) -> None:
    place = store(system, "ann")
    good = {"title": "x", "study": place.study}
    with system.client("ann") as ann, system.client() as nobody:
        for form in (
            {"title": "x"},
            {"study": place.study},
            {**good, "album": "AAAAAAAAAA"},
            {**good, "study": "1.2.x"},
            {**good, "series": "1.2"},
            {**good, "passcode": "12345"},
            {**good, "max_uses": "0"},
            {**good, "max_uses": "many"},
            {**good, "expiration_time": "tomorrow"},
            {**good, "expiration_time": "2999-01-01T00:00:00Z"},
            {**good, "download_permission": "perhaps"},
            {**good, "secret": "mine"},
        ):
            assert ann.post("/links", data=form).status_code == 400, form
        assert ann.post("/links", data={**good, "study": new_uid()}).status_code == 404
        assert nobody.post("/links", data=good).status_code == 401
        assert nobody.get("/links").status_code == 401
        assert nobody.post("/links/AAAAAAAAAA/open", data={}).status_code == 400
        assert nobody.post("/links/AAAAAAAAAA/open", data={"secret": "x" * 100}).status_code == 400
        assert nobody.post("/links/short/open", data={"secret": "x"}).status_code == 404
        assert nobody.get("/links/AAAAAAAAAA/open").status_code == 405
        listed = ann.get("/links", params={"limit": 1})
        assert (len(listed.json()), int(listed.headers["x-total-count"]) > 1) == (1, True)
        assert "secret" not in listed.text


def test_the_first_call_of_somebody_new_takes_up_an_invitation(postgres: Server, tmp_path: Path) -> None:
    mail = {"KHEOPS_MAIL_FROM": "kheops@example.org", "KHEOPS_MAIL_FOLDER": str(tmp_path)}
    with start_system(postgres, tmp_path, settings=mail) as system, system.client("ann") as ann:
        album = ann.post("/albums", data={"name": "Ours"}).json()["album_id"]
        path = f"/albums/{album}/invitations"
        made = ann.post(path, data={"email": "Zoe@example.org"})
        assert (made.status_code, made.json()["email"], made.json()["accepted"]) == (201, "zoe@example.org", False)
        again = ann.post(path, data={"email": "ann@example.org"})
        assert {*again.json()} == {*made.json()}
        assert ann.delete(f"{path}/{again.json()['id']}").status_code == 204
        assert ann.delete(f"{path}/Zz00000000").status_code == 404
        assert ann.post(path, data={"email": "nobody"}).status_code == 400
        with system.client("zoe") as zoe:
            assert [each["album_id"] for each in zoe.get("/albums").json()] == [album]
            assert zoe.get(path).status_code == 403
        with system.client("yan") as yan:
            assert yan.get("/albums").json() == []
            assert yan.post(path, data={"email": "x@example.org"}).status_code == 404
        listed = ann.get(path, params={"limit": 1, "offset": 1})
        assert listed.headers["x-total-count"] == "2"
        assert [(each["email"], each["accepted"]) for each in listed.json()] == [("zoe@example.org", True)]


# The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with open_tab(tmp_path) as opened:
        yield opened


def _press(tab: Tab) -> None:
    tab.run("document.querySelector('#open button').click()")


def _requests(tab: Tab) -> list[dict[str, Any]]:
    return [each["params"]["request"] for each in tab.seen if each.get("method") == "Network.requestWillBeSent"]


def test_the_page_opens_a_link_and_keeps_its_secret(system: System, tab: Tab) -> None:
    place = store(system, "ann", name="Doe^Jane^^Dr.")
    link = make(system, "ann", study=place.study, passcode="open sesame", download_permission="true")
    tab.go(link["url"])
    assert "Somebody shared images with you" in tab.text()
    _press(tab)
    tab.until("!document.getElementById('passcode-field').hidden")
    tab.run("document.getElementById('passcode').value = 'wrong one'")
    _press(tab)
    tab.until("document.getElementById('told').textContent.includes('wrong')")
    tab.run("document.getElementById('passcode').value = 'open sesame'")
    _press(tab)
    tab.until("document.querySelectorAll('#studies tbody tr').length === 1")
    text = tab.text()
    system.secrets_used.add(tab.run("document.getElementById('address').textContent").rpartition("/")[2])
    assert "Doe, Dr. Jane" in text
    assert place.study in text
    assert f"'{system.url}/api/studies/{place.study}'" in text
    assert "'Accept: application/zip'" in text
    assert re.search(r"Open until \d{4}-\d\d-\d\d \d\d:\d\d UTC;", text)
    assert tab.run("[...document.querySelectorAll('.secret')].every(e => e.scrollWidth <= e.clientWidth)")
    requests = _requests(tab)
    assert {each["url"].partition("/api/")[1] for each in requests} == {"", "/api/"}
    assert not [each for each in requests if link["secret"] in each["url"]]
    assert not [each for each in requests if link["secret"] in each.get("headers", {}).get("Referer", "")]
    assert {each["url"].split("/")[2] for each in requests} == {system.url.split("/")[2]}
    assert not [each for each in tab.seen if each.get("method") == "Runtime.exceptionThrown"]


def test_the_browser_saves_a_study_as_a_zip_that_opens(system: System, tab: Tab, tmp_path: Path) -> None:
    place = store(system, "ann")
    hidden = store(system, "ann", study=place.study)
    tab.go(make(system, "ann", series=f"{place.study}/{place.series}", download_permission="true")["url"])
    _press(tab)
    tab.until("document.querySelectorAll('#studies tbody a').length === 1")
    system.secrets_used.add(tab.run("document.getElementById('address').textContent").rpartition("/")[2])
    tab.command("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
    tab.run("document.querySelector('#studies tbody a').click()")
    saved = tmp_path / "saved" / "DICOM.ZIP"
    end = time.monotonic() + 20
    while not saved.exists():
        assert time.monotonic() < end, [each for each in tab.seen if "ownload" in str(each.get("method"))]
        time.sleep(0.1)
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        uids = {
            pydicom.dcmread(io.BytesIO(archive.read(name))).SOPInstanceUID
            for name in archive.namelist()
            if name.startswith("DICOM/")
        }
        assert "DICOMDIR" in archive.namelist()
    assert uids == {place.instance}
    assert hidden.instance not in uids
    assert "Somebody shared" not in tab.text()


def test_the_page_of_a_view_only_link_has_no_files_and_shows_what_was_stored_as_text(system: System, tab: Tab) -> None:
    place = store(system, "ann", name="<img hidden>^B")
    tab.go(make(system, "ann", study=place.study)["url"])
    _press(tab)
    tab.until("document.querySelectorAll('#studies tbody tr').length === 1")
    system.secrets_used.add(tab.run("document.getElementById('address').textContent").rpartition("/")[2])
    assert "<img hidden>" in tab.text()
    assert tab.run("document.querySelectorAll('#studies img').length") == 0
    assert tab.run("document.getElementById('download').hidden") is True
    assert tab.run("document.getElementById('files-column').hidden") is True
    assert tab.run("document.querySelectorAll('#studies tbody a').length") == 0


def test_the_page_of_no_link_is_that_of_any_link_until_it_is_opened(system: System, tab: Tab) -> None:
    place = store(system, "ann")
    link = make(system, "ann", study=place.study)
    with httpx.Client(base_url=system.url, trust_env=False) as client:
        known, unknown = (client.get(f"/s/{each}") for each in (link["id"], "Zz00000000"))
    assert known.text.replace(link["id"], "") == unknown.text.replace("Zz00000000", "")
    assert known.headers["referrer-policy"] == "no-referrer"
    policy = known.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    tab.go(f"{system.url}/s/Zz00000000#{link['secret']}")
    _press(tab)
    tab.until("document.getElementById('told').textContent.includes('does not open anything')")
    tab.go(f"{system.url}/s/{link['id']}")
    _press(tab)
    tab.until("document.getElementById('told').textContent.includes('not complete')")
