"""The first world of the leak test: people, albums, series, tokens, and what was said of them."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.dicom_files import a_file, new_uid
from tests.system.link_visits import invite, link, visit
from tests.system.report_tokens import ask_for_a_report, register
from tests.system.running import System

__all__ = ["Place", "World", "build"]


@dataclass(frozen=True)
class Place:
    """UIDs of one instance."""

    study: str
    series: str
    instance: str


@dataclass
class World:
    """The first world and what its test needs to know."""

    system: System
    folder: Path
    places: dict[str, Place]
    albums: dict[str, str]
    capabilities: dict[str, str]
    tokens: dict[str, str | None]
    providers: list[str]
    """Report providers: of the shared album, of Dave's, and one that never was."""
    links: list[str]
    invitations: list[str]
    """Of Alice, of Dave, and one that never was."""
    webhooks: list[str]
    """Of the shared album, of Dave's, and one that never was."""


def _place() -> Place:
    return Place(new_uid(), new_uid(), new_uid())


def _say_and_mark(alice: httpx.Client, dave: httpx.Client, places: dict[str, Place], albums: dict[str, str]) -> None:
    """Comment and mark where others see it and where they must not."""
    shared, own, daves = places["shared"], places["alice's own study"], places["dave's shared study"]
    albums = {**albums, "mine": albums["alice's own"], "daves": albums["dave's"]}
    # Dave reads of the shared study only what the others of the shared album do not see.
    hidden = places["hidden in a shared study"]
    sent = alice.put(f"/studies/{hidden.study}/series/{hidden.series}/users/dave")
    assert sent.status_code == 201, sent.text
    for client, path, to_user in (
        (dave, f"/studies/{shared.study}/comments", None),
        (alice, f"/studies/{shared.study}/comments", None),
        (alice, f"/studies/{shared.study}/comments", "bob"),
        (alice, f"/studies/{shared.study}/comments", "alice"),
        (alice, f"/studies/{own.study}/comments", None),
        (alice, f"/albums/{albums['shared']}/comments", None),
        (alice, f"/albums/{albums['shared']}/comments", "alice"),
        (alice, f"/albums/{albums['mine']}/comments", None),
        (dave, f"/studies/{daves.study}/comments", None),
        (dave, f"/albums/{albums['daves']}/comments", None),
    ):
        said = client.post(path, data={"comment": "Said", **({} if to_user is None else {"to_user": to_user})})
        assert said.status_code == 204, said.text
    for place, query in (
        (shared, "inbox=true"),
        (places["hidden in a shared study"], "inbox=true"),
        (shared, f"album={albums['shared']}"),
    ):
        marked = alice.put(f"/studies/{place.study}/series/{place.series}/favorites?{query}")
        assert marked.status_code == 204, marked.text
    # The history goes on naming what is in the album no more.
    path = f"/studies/{own.study}/series/{own.series}/albums/{albums['shared']}"
    assert (alice.put(path).status_code, alice.delete(path).status_code) == (201, 204)


def _hook(system: System, owner: str, album: str) -> str:
    """Create a webhook of an album, and return its id."""
    form = {"name": "Hook", "url": f"https://{owner}.example/", "secret": "s", "event": "new_series"}
    with system.client(owner) as client:
        made = client.post(f"/albums/{album}/webhooks", data=form)
    assert made.status_code == 201, made.text
    webhook: str = made.json()["id"]
    return webhook


def build(system: System, folder: Path) -> World:
    shared = _place()
    places = {
        "shared": shared,
        "hidden in a shared study": Place(shared.study, new_uid(), new_uid()),
        "hidden in a shared series's study, other modality": Place(shared.study, new_uid(), new_uid()),
        "alice's own study": _place(),
        "dave's shared study": _place(),
        "bob's own": _place(),
        "unused": _place(),
        "unused series of a shared study": Place(shared.study, new_uid(), new_uid()),
    }
    owners = {
        "shared": "alice",
        "hidden in a shared study": "alice",
        "hidden in a shared series's study, other modality": "alice",
        "alice's own study": "alice",
        "dave's shared study": "dave",
        "bob's own": "bob",
    }
    for name, owner in owners.items():
        place = places[name]
        file = a_file(
            study=place.study,
            series=place.series,
            instance=place.instance,
            modality="SR" if "other modality" in name else "CT",
            patient_name=f"Xq^Unmistakable^{owner}",
        )
        assert system.store_files(owner, file).status_code == 200
    albums = {}
    capabilities: dict[str, str] = {}
    secrets: dict[str, str] = {}
    with system.client("alice") as alice, system.client("dave") as dave:
        albums["shared"] = alice.post("/albums", data={"name": "Shared"}).json()["album_id"]
        albums["alice's own"] = alice.post("/albums", data={"name": "Alice alone"}).json()["album_id"]
        albums["dave's"] = dave.post("/albums", data={"name": "Dave and Erin"}).json()["album_id"]
        albums["unused"] = "Zz00000000"
        for sub in ("bob", "erin"):
            with system.client(sub) as client:
                assert client.get("/albums").status_code == 200
        place = places["shared"]
        put = alice.put(f"/studies/{place.study}/series/{place.series}/albums/{albums['shared']}")
        assert put.status_code == 201, put.text
        place = places["dave's shared study"]
        daves = albums["dave's"]
        assert dave.put(f"/studies/{place.study}/series/{place.series}/albums/{daves}").status_code == 201
        assert alice.put(f"/albums/{albums['shared']}/users/bob@example.org").status_code == 201
        assert dave.put(f"/albums/{daves}/users/erin@example.org").status_code == 201
        # Dora is in the shared album by a group, and would be in Dave's by another.
        assert alice.put(f"/albums/{albums['shared']}/groups/radiology").status_code == 201
        assert dave.put(f"/albums/{daves}/groups/surgery").status_code == 201
        with system.client("dora") as client:
            assert client.get("/albums").status_code == 200
        _say_and_mark(alice, dave, places, albums)
        for name, client, album in (
            ("link", alice, albums["shared"]),
            ("revoked", alice, albums["shared"]),
            ("expired", alice, albums["shared"]),
            ("dave's", dave, albums["dave's"]),
        ):
            made = client.post(
                "/capabilities",
                data={
                    "title": name,
                    "scope_type": "album",
                    "album": album,
                    "read_permission": "true",
                    "appropriate_permission": "true",
                    "download_permission": "true",
                },
            )
            assert made.status_code == 201, made.text
            capabilities[name] = made.json()["id"]
            secrets[name] = made.json()["access_token"]
            system.secrets_used.add(secrets[name])
        capabilities["unused"] = "Zz11111111"
        assert alice.post(f"/capabilities/{capabilities['revoked']}/revoke").status_code == 200
        system.run_sql(
            "UPDATE capabilities SET expires_at = now() - interval '1 day' WHERE id = :id", id=capabilities["expired"]
        )
    tokens: dict[str, str | None] = {
        "member": system.token("bob"),
        "outsider": system.token("carol"),
        "member by a group": system.token("dora", groups=["radiology"]),
        "link": secrets["link"],
        "revoked link": secrets["revoked"],
        "expired link": secrets["expired"],
        "nobody": None,
        "forged": system.token("bob")[:-8] + "AAAAAAAA",
    }
    with system.client("carol") as carol:
        assert carol.get("/albums").status_code == 200
        opened = carol.post(
            "/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "scope": "viewer read write",
                "subject_token": tokens["member"],
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "studyUID": shared.study,
                "source_type": "album",
                "source_id": albums["shared"],
            },
        )
        assert opened.status_code == 200, opened.text
        tokens["viewer"] = opened.json()["access_token"]
        system.secrets_used.add(opened.json()["access_token"])
    providers = [register(system, albums["shared"]), register(system, albums["dave's"]), "Zz" + "0" * 20]
    tokens["report"] = ask_for_a_report(system, "bob", providers[0], [shared.study])
    alices = link(system, "alice", series=f"{shared.study}/{shared.series}", download_permission="true")
    links = [alices[0], link(system, "dave", album=albums["dave's"])[0], "Zz22222222"]
    tokens["visitor"] = visit(system, *alices)
    invitations = [invite(system, "alice", albums["shared"]), invite(system, "dave", albums["dave's"]), "Zz33333333"]
    webhooks = [_hook(system, "alice", albums["shared"]), _hook(system, "dave", albums["dave's"]), "Zz" + "0" * 18]
    return World(system, folder, places, albums, capabilities, tokens, providers, links, invitations, webhooks)
