"""A group of a real provider in an album: who is in it sees what the album holds, while their login says so."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from local.oidc_login import new_browser, walk
from local.provider import Person
from tests.dicom_files import a_file, new_uid
from tests.system.keycloak.conftest import World


@dataclass(frozen=True, slots=True)
class Scene:
    """An album of Alice's with one of her two series of a study, and a group in it."""

    world: World
    group: str
    album: str
    study: str
    shared: str
    kept: str
    member: Person
    """Whom the provider has in the group."""
    other: Person
    """Who is in it, too, and stays."""

    def series_seen(self, **headers: str) -> set[str]:
        """Return the series that a search finds."""
        answer = httpx.get(
            f"{self.world.stack.public_url}/api/series?limit=1000", headers=headers, trust_env=False, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return {row["0020000E"]["Value"][0] for row in answer.json()}

    def status(self, series: str, token: str) -> int:
        """Return how a series is answered."""
        address = f"{self.world.stack.public_url}/api/studies/{self.study}/series/{series}/metadata"
        return httpx.get(address, headers=_bearer(token), trust_env=False, timeout=60).status_code


def _bearer(token: str | None) -> dict[str, str]:
    assert token is not None
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def _client(world: World, token: str | None) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{world.stack.public_url}/api", headers=_bearer(token), trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture
def scene(world: World) -> Scene:
    group = f"readers-{secrets.token_hex(4)}"
    member, other = world.administration.new_person("gus"), world.administration.new_person("gail")
    world.administration.set_members(group, member, other)
    study, shared, kept = new_uid(), new_uid(), new_uid()
    with _client(world, world.log_in(world.person("alice")).access_token) as alice:
        for series in (shared, kept):
            body = a_file(study=study, series=series, instance=new_uid(), patient_name=f"Seen^{group}")
            stored = alice.post("/studies", content=body, headers={"Content-Type": "application/dicom"})
            assert stored.status_code == 200, stored.text
        album: str = alice.post("/albums", data={"name": f"Of {group}"}).json()["album_id"]
        assert alice.put(f"/studies/{study}/series/{shared}/albums/{album}").status_code == 201
        assert alice.put(f"/albums/{album}/groups/{group}").status_code == 201
    return Scene(world, group, album, study, shared, kept, member, other)


def test_a_group_in_an_album_sees_exactly_its_series_until_the_next_token_says_otherwise(scene: Scene) -> None:
    world = scene.world
    tokens = world.log_in(scene.member)
    assert tokens.access_token is not None
    assert scene.series_seen(**_bearer(tokens.access_token)) == {scene.shared}
    assert scene.status(scene.shared, tokens.access_token) == 200
    assert scene.status(scene.kept, tokens.access_token) == 404
    with _client(world, tokens.access_token) as gus:
        assert [each["album_id"] for each in gus.get("/albums").json()] == [scene.album]
    world.administration.set_members(scene.group, scene.other)
    # Nobody asks the provider about a token that it has given out: docs/operations.md, "Limits".
    assert scene.series_seen(**_bearer(tokens.access_token)) == {scene.shared}
    refreshed = str(world.refresh(tokens.refresh_token).json()["access_token"])
    for token in (refreshed, world.log_in(scene.member).access_token):
        assert scene.series_seen(**_bearer(token)) == set()
    assert scene.status(scene.shared, refreshed) == 404
    assert scene.series_seen(**_bearer(world.log_in(scene.other).access_token)) == {scene.shared}


def test_a_group_counts_in_the_session_of_the_browser_that_logged_in_with_it(scene: Scene) -> None:
    world = scene.world
    assert _seen_in_pages(scene, scene.member) == (True, {scene.shared})
    world.administration.set_members(scene.group, scene.other)
    assert _seen_in_pages(scene, scene.member) == (False, set())


def test_capability_tokens_of_somebody_in_a_group_reach_nothing_by_it(scene: Scene) -> None:
    form = {"title": "t", "scope_type": "user", "read_permission": "true"}
    with _client(scene.world, scene.world.log_in(scene.member).access_token) as gus:
        made = gus.post("/capabilities", data=form)
        assert made.status_code == 201, made.text
        of_album = {"title": "t", "scope_type": "album", "album": scene.album, "read_permission": "true"}
        assert gus.post("/capabilities", data=of_album).status_code == 403
    secret = str(made.json()["access_token"])
    assert scene.series_seen(**_bearer(secret)) == set()
    assert scene.status(scene.shared, secret) == 404


def _seen_in_pages(scene: Scene, person: Person) -> tuple[bool, set[str]]:
    """Return whether the pages show the study and the album, and which series the API lists for them."""
    home = f"{scene.world.stack.public_url}/"
    with new_browser() as browser:
        walk(
            browser,
            f"{home}login",
            until=lambda address: address == home,
            user_name=person.user_name,
            password=person.password,
        )
        assert person.family_name in browser.get(home).text
        of_study = scene.group in browser.get(f"{home}studies").text
        of_album = scene.album in browser.get(f"{home}albums").text
        assert of_study == of_album == (browser.get(f"{home}albums/{scene.album}").status_code == 200)
        listed = browser.get(f"{home}api/series", headers={"Sec-Fetch-Site": "same-origin"})
    assert listed.status_code == 200, listed.text
    return of_study, {row["0020000E"]["Value"][0] for row in listed.json()}
