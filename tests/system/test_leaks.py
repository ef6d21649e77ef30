"""Hidden is absent: asked as each principal, the world with the hidden things answers as the world without them.

The second world is a copy of the first, database and store, from which everything is removed that the principal cannot
reach. Both get the same requests: every route that the code knows, every method, with visible, hidden and unused
identifiers. Status, headers and body must be the same; masked are only what no two answers share (the date, the
request's id, a multipart boundary, ids and times of what the requests themselves create).

The one exemption, by name: STOW-RS, whose failure reason 0x0124 tells a writer that a UID is in use.
"""

import io
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pydicom
import pytest
from sqlalchemy import Connection, CursorResult, text

from kheops.dicomweb import resources
from kheops.dicomweb.resources import Resource, to_path
from kheops.storage.engine import Database, connection_arguments
from kheops.web import dicomweb_service
from kheops.web.api_service import TABLE as API_TABLE
from kheops.web.dicomweb import wado_uri
from local.emulator import start_emulator
from local.ports import kept_ports
from local.processes import Processes
from tests.dicom_files import a_file, new_uid
from tests.postgres import Server
from tests.system.link_visits import invite, link, visit
from tests.system.report_tokens import ask_for_a_report, register
from tests.system.running import System, _start_services, start_system

EXEMPT = "STOW-RS"
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST")


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
    for client, path, to_user in (
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


def hook(system: System, owner: str, album: str) -> str:
    """Create a webhook of an album, and return its id."""
    form = {"name": "Hook", "url": f"https://{owner}.example/", "secret": "s", "event": "new_series"}
    with system.client(owner) as client:
        made = client.post(f"/albums/{album}/webhooks", data=form)
    assert made.status_code == 201, made.text
    webhook: str = made.json()["id"]
    return webhook


def _build(system: System, folder: Path) -> World:
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
    webhooks = [hook(system, "alice", albums["shared"]), hook(system, "dave", albums["dave's"]), "Zz" + "0" * 18]
    return World(system, folder, places, albums, capabilities, tokens, providers, links, invitations, webhooks)


REACH = {
    "member": "SELECT m.album_pk FROM album_members m JOIN users u ON u.pk = m.user_pk WHERE u.sub = 'bob'",
    "outsider": "SELECT m.album_pk FROM album_members m JOIN users u ON u.pk = m.user_pk WHERE u.sub = 'carol'",
    "member by a group": "SELECT pk FROM albums WHERE name = 'Shared' UNION SELECT inbox_pk FROM users "
    "WHERE sub = 'dora'",
    "link": "SELECT pk FROM albums WHERE name = 'Shared'",
    "viewer": "SELECT pk FROM albums WHERE name = 'Shared'",
    "report": "SELECT pk FROM albums WHERE name = 'Shared'",
    "visitor": "SELECT inbox_pk FROM users WHERE sub = 'alice'",
}
"""The albums and inboxes that each principal reaches; the others reach none."""
SUBJECTS = {"member": "bob", "outsider": "carol", "member by a group": "dora"}
"""Who sees private comments; tokens of ours see none here."""


@contextmanager
def _without_the_hidden(postgres: Server, world: World, principal: str) -> Iterator[str]:
    """Run a copy of the world from which what ``principal`` cannot reach is removed; give its address."""
    source = world.system
    folder = world.folder / principal.replace(" ", "-")
    shutil.copytree(world.folder / "store", folder / "store")
    name = str(connection_arguments(source.environment["KHEOPS_DATABASE_URL"])["database"])
    url = postgres.url(postgres.create(template=name))
    with ExitStack() as ending:
        ending.callback(postgres.drop, url)
        ports = kept_ports(folder, ["services", "store"])
        processes = ending.enter_context(Processes(folder / "logs"))
        database = Database(connection_arguments(url), size=1)
        reach = REACH.get(principal, "SELECT pk FROM albums WHERE false")
        hidden = (
            f"SELECT s.pk FROM series s WHERE NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk "
            f"AND x.album_pk IN ({reach}))"
        )
        if principal in {"viewer", "report"}:
            hidden += f" OR s.study_instance_uid <> '{world.places['shared'].study}'"
        if principal == "visitor":
            hidden += f" OR s.series_instance_uid <> '{world.places['shared'].series}'"

        def remove(tx: Connection) -> list[tuple[str, str]]:
            def run(sql: str) -> CursorResult[Any]:
                return tx.execute(text(sql))

            gone = run(f"SELECT study_instance_uid, series_instance_uid FROM series WHERE pk IN ({hidden})").all()
            run(f"DELETE FROM series WHERE pk IN ({hidden})")
            run(f"DELETE FROM albums WHERE kind = 'album' AND pk NOT IN ({reach})")
            me = f"SELECT pk FROM users WHERE sub = '{SUBJECTS.get(principal, '')}'"
            run(f"DELETE FROM comments WHERE is_private AND user_pk NOT IN ({me}) AND to_user_pk NOT IN ({me})")
            run(f"UPDATE album_series SET is_favorite = false WHERE album_pk NOT IN ({reach})")
            keep = "'link'" if principal == "link" else "''"
            run(f"DELETE FROM capabilities WHERE title NOT IN ({keep})")
            run("DELETE FROM invitations")
            run(f"DELETE FROM links WHERE id <> '{world.links[0] if principal == 'visitor' else ''}'")
            return [(str(row.study_instance_uid), str(row.series_instance_uid)) for row in gone]

        gone = database.run_blocking(remove)
        database.close()
        store = start_emulator(processes, folder / "store", port=ports["store"])
        with httpx.Client(trust_env=False, headers={"Authorization": store.authorization()}) as direct:
            for study, series in gone:
                answer = direct.delete(f"{store.dicomweb}/studies/{study}/series/{series}")
                assert answer.status_code == 200, answer.text
        environment = {
            **source.environment,
            **store.settings,
            "KHEOPS_DATABASE_URL": url,
            "KHEOPS_PUBLIC_URL": source.url,
        }
        _start_services(processes, ports["services"], environment)
        yield f"http://127.0.0.1:{ports['services']}"


THIN = ("shared", "hidden in a shared study", "unused")
"""Places asked of those who have no good credential: 401 everywhere is soon compared."""


def _dicom_paths(world: World, places: Iterable[str] | None = None) -> Iterable[tuple[type[Resource] | None, str]]:
    users = ("bob@example.org", "alice@example.org", "nobody@example.org", "carol")
    for place in (world.places[name] for name in places or world.places):
        study = resources.Study(place.study)  # type: ignore[arg-type]
        series = resources.Series(place.study, place.series)  # type: ignore[arg-type]
        instance = resources.SopInstance(place.study, place.series, place.instance)  # type: ignore[arg-type]
        made: list[Resource] = [
            study,
            series,
            instance,
            resources.SeriesOf(study),
            resources.InstancesOf(study),
            resources.InstancesOf(series),
            resources.Metadata(study),
            resources.Metadata(series),
            resources.Metadata(instance),
            resources.Frames(instance, (1,)),
            resources.Frames(instance, (1, 2)),
            resources.Bulkdata(instance, "7FE00010"),
            *(
                shown(of)
                for shown in (resources.Rendered, resources.Thumbnail)
                for of in (study, series, instance, resources.Frames(instance, (1,)))
            ),
            resources.Rendered(resources.Frames(instance, (2, 1))),
            *(resources.InAlbum(of, album) for of in (study, series) for album in world.albums.values()),  # type: ignore[arg-type]
            *(resources.OfUser(of, user) for of in (study, series) for user in users),
            resources.Favorites(study),
            resources.Favorites(series),
            resources.Comments(study),
            resources.OhifMetadata(study),
            resources.Fetch(study),
            resources.Fetch(resources.SeriesOf(study)),
        ]
        for resource in made:
            yield type(resource), to_path(resource)
    yield resources.Studies, "/studies"
    for path in dicomweb_service.BY_QUERY:
        yield None, path


def _by_uri(world: World) -> Iterable[str]:
    for place in world.places.values():
        named = f"requestType=WADO&studyUID={place.study}&seriesUID={place.series}&objectUID={place.instance}"
        for more in ("", "&contentType=application/dicom", "&contentType=text/html", "&frameNumber=9", "&rows=0"):
            yield named + more
        yield from (f"{named}&album={album}" for album in world.albums.values())
    hidden, seen = world.places["hidden in a shared study"], world.places["shared"]
    yield f"requestType=WADO&studyUID={seen.study}&seriesUID={seen.series}&objectUID={hidden.instance}"


def _searches(world: World) -> Iterable[str]:
    for place in world.places.values():
        yield f"StudyInstanceUID={place.study}"
        yield f"0020000D={place.study}"
        yield f"SeriesInstanceUID={place.series}"
        yield f"SOPInstanceUID={place.instance}"
    yield from (
        "PatientName=Xq*",
        "PatientName=*alice*",
        "PatientID=P-1",
        "ModalitiesInStudy=SR",
        "ModalitiesInStudy=CT",
        "Modality=SR",
        "StudyDate=20260101-20260131",
        "limit=1",
        "limit=1&offset=1",
        "offset=3",
        "includefield=all",
        "fuzzymatching=true&PatientName=xq",
        "inbox=true",
        "sort=-StudyDate",
        "limit=x",
    )
    yield "includefield=comments"
    yield "includefield=favorite&inbox=true"
    yield "favorite=true&inbox=true"
    for album in world.albums.values():
        yield f"album={album}"
        yield f"album={album}&favorite=true"
        yield f"album={album}&includefield=favorite"


def _api_paths(world: World) -> Iterable[str]:
    references = ("bob%40example.org", "alice%40example.org", "nobody%40example.org", "carol")
    for route in API_TABLE.routes:
        paths = [route.template]
        for name, values in (
            ("{album}", list(world.albums.values())),
            ("{capability}", list(world.capabilities.values())),
            ("{user}", list(references)),
            ("{group}", ["radiology", "surgery"]),
            ("{series}", [place.series for place in world.places.values()]),
            ("{client}", world.providers),
            ("{link}", world.links),
            ("{invitation}", world.invitations),
            ("{webhook}", world.webhooks),
        ):
            paths = [path.replace(name, value) for path in paths for value in (values if name in path else [""])]
        yield from paths


def _requests(world: World, *, thin: bool = False) -> Iterable[tuple[str, str, str]]:
    """Give (method, path, query) of everything to ask: first what only reads, then what changes something."""
    dicom = list(_dicom_paths(world, THIN if thin else None))
    few = {path for _, path in _dicom_paths(world, THIN)}
    api = list(dict.fromkeys(_api_paths(world)))
    for method in METHODS:
        for resource, path in dicom:
            if path not in few and method in {"OPTIONS", "PATCH", "POST"}:
                continue  # decided from the path's form alone, three places show it
            if method == "POST" and resource in {resources.Studies, resources.Study}:
                continue  # STOW-RS, exempt by name
            yield method, path, ""
            if method == "GET" and path != wado_uri.PATH and resource in _SEARCHED:
                for query in () if thin else _searches(world):
                    yield method, path, query
            if method in {"GET", "HEAD"} and path == wado_uri.PATH:
                yield from ((method, path, query) for query in _by_uri(world))
            if method == "GET" and resource in {resources.Rendered, resources.Thumbnail}:
                yield method, path, "viewport=8,8&accept=text/html"
            if method in {"PUT", "DELETE"} and resource is resources.Favorites:
                for album in world.albums.values():
                    yield method, path, f"album={album}"
                yield method, path, "inbox=true"
            if method == "PUT" and resource in {resources.Study, resources.InAlbum, resources.OfUser}:
                for album in world.albums.values():
                    yield method, path, f"album={album}"
                yield method, path, "inbox=true"
            if method == "GET" and resource in {resources.Study, resources.Series}:
                yield method, path, _ZIP
            if method == "GET" and resource is resources.Studies:
                yield from ((method, path, f"album={album}&{_ZIP}") for album in world.albums.values())
                yield method, path, f"inbox=true&{_ZIP}"
            if method == "GET" and resource in {resources.Study, resources.Metadata}:
                for album in world.albums.values():
                    yield method, path, f"album={album}"
        for path in api:
            yield method, path, ""
            if path == "/users" and method == "GET":
                for reference in ("alice@example.org", "nobody@example.org"):
                    for album in world.albums.values():
                        yield method, path, f"reference={reference}&album={album}"
                        yield method, path, f"search={reference}&album={album}"
                    for place in world.places.values():
                        yield method, path, f"reference={reference}&studyInstanceUID={place.study}"
                        yield method, path, f"search={reference}&studyInstanceUID={place.study}"
                for wanted in ("ali", "bob", "carol", "dave", "erin", "example"):
                    yield method, path, f"search={wanted}"
            if path == "/albums" and method == "GET":
                for query in ("modality=CT", "modality=SR", "sort=-number_of_studies", "sort=number_of_comments"):
                    yield method, path, query
            if path.endswith("/events") and method == "GET":
                for place in world.places.values():
                    yield method, path, f"types=mutations&studies={place.study}"
                    yield method, path, f"types=mutations&series={place.series}"
            if path == "/report" and method == "POST":
                for client in world.providers:
                    for place in world.places.values():
                        yield method, path, f"client_id={client}&studyUID={place.study}"
            if path == "/links" and method == "POST":
                yield from ((method, path, f"album={album}") for album in world.albums.values())
                for place in world.places.values():
                    yield method, path, f"study={place.study}"
                    yield method, path, f"series={place.study}/{place.series}"
            if path == "/links" and method == "GET":
                yield from ((method, path, f"album={album}") for album in world.albums.values())
            if path == "/shares" and method == "POST":
                for place in world.places.values():
                    yield method, path, f"{place.study}/{place.series}"
            if path == "/capabilities" and method == "GET":
                for album in world.albums.values():
                    yield method, path, f"album={album}"


_SEARCHED = {resources.Studies, resources.SeriesOf, resources.InstancesOf, None}
_ZIP = "accept=application/zip"
_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)")
_MADE = re.compile(rb'"(album_id|id|access_token|secret|url|[a-z_]*time)":"[^"]*"')


def _seen(response: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return what a caller sees of an answer, without what no two answers share."""
    body = response.content
    headers = []
    boundary = _BOUNDARY.search(response.headers.get("content-type", ""))
    for name, value in response.headers.multi_items():
        # The server closes a connection whose request body nobody read, or does not, as the timing has it.
        if name in {"date", "x-request-id", "connection"}:
            continue
        headers.append((name, value.replace(boundary[1], "B") if boundary else value))
    if response.headers.get("content-type") == "application/zip":
        return response.status_code, headers, _archived(body)
    if boundary:
        body = body.replace(boundary[1].encode(), b"B")
    if response.request.method in {"POST", "PATCH"} or b'"album_id"' in body:
        body = _MADE.sub(rb'"\1":""', body)
        headers = [(name, value) for name, value in headers if name != "content-length"]
    return response.status_code, headers, body


def _archived(body: bytes) -> bytes:
    """Return what an archive holds, without the moment and the UID of its directory, which no two share."""
    with zipfile.ZipFile(io.BytesIO(body)) as read:
        entries = [(name, read.read(name)) for name in read.namelist() if name != "DICOMDIR"]
        directory = pydicom.dcmread(io.BytesIO(read.read("DICOMDIR")))
    records = [record.to_json_dict() for record in directory.DirectoryRecordSequence]
    for record in records:
        # Offsets, which the length of that UID moves.
        del record["00041400"], record["00041420"]
    return repr((entries, records)).encode()


@pytest.fixture(scope="module")
def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("leaks")
    mail = {"KHEOPS_MAIL_FROM": "kheops@example.org", "KHEOPS_MAIL_FOLDER": str(folder)}
    with start_system(postgres, folder, settings=mail) as system:
        yield _build(system, folder)
        logs = system.log_text()
    assert "Unmistakable" not in logs
    assert not [secret for secret in system.secrets_used if secret in logs]


@contextmanager
def _as_it_is(postgres: Server, world: World, principal: str) -> Iterator[str]:
    """Run a copy of the world as it is, since the requests change it."""
    folder = world.folder / f"{principal.replace(' ', '-')}-whole"
    shutil.copytree(world.folder / "store", folder / "store")
    name = str(connection_arguments(world.system.environment["KHEOPS_DATABASE_URL"])["database"])
    url = postgres.url(postgres.create(template=name))
    with ExitStack() as ending:
        ending.callback(postgres.drop, url)
        ports = kept_ports(folder, ["services", "store"])
        processes = ending.enter_context(Processes(folder / "logs"))
        store = start_emulator(processes, folder / "store", port=ports["store"])
        environment = {**world.system.environment, **store.settings, "KHEOPS_DATABASE_URL": url}
        _start_services(processes, ports["services"], environment)
        yield f"http://127.0.0.1:{ports['services']}"


@pytest.mark.parametrize(
    "principal",
    [
        "member",
        "member by a group",
        "outsider",
        "link",
        "viewer",
        "report",
        "visitor",
        "revoked link",
        "expired link",
        "nobody",
        "forged",
    ],
)
def test_the_world_with_hidden_things_answers_as_the_world_without_them(
    postgres: Server, world: World, principal: str
) -> None:
    # A copy can be made of a database only while nobody is connected to it.
    world.system.services.stop()
    world.system.database.close()
    token = world.tokens[principal]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    differences: list[str] = []
    asked = 0
    answered = set()
    with (
        _as_it_is(postgres, world, principal) as whole,
        _without_the_hidden(postgres, world, principal) as reduced,
        httpx.Client(base_url=f"{whole}/api", headers=headers, timeout=30, trust_env=False) as first,
        httpx.Client(base_url=f"{reduced}/api", headers=headers, timeout=30, trust_env=False) as second,
    ):
        for method, path, query in _requests(
            world, thin=token is None or principal.split(maxsplit=1)[0] in {"revoked", "expired", "forged"}
        ):
            form = {"name": "New", "title": "t", "scope_type": "user"} if method in {"POST", "PATCH"} else None
            if form is not None and path.endswith("/comments"):
                form = {"comment": "New"}
            url = f"{path}?{query}" if query else path
            body: object = None
            if path == "/report" and query:
                # What others send in the query string goes into the form here, and the token with it.
                url, form = path, {**dict(parse_qsl(query)), "access_token": token or "none"}
            if path == "/shares" and query:
                study, _, series = query.partition("/")
                url, form = path, None
                one_series = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
                body = {"series": [one_series], "target": {"user": "bob@example.org"}}
            if "/webhooks" in path and form is not None:
                form = {"name": "New", "url": "https://new.example/", "event": "new_user"}
                if path.endswith("/trigger"):
                    form = {"event": "new_user", "user": "alice@example.org"}
            if path.endswith("/invitations") and form is not None:
                form = {"email": "zoe@example.org"}
            if path.endswith("/open"):
                form = {"secret": "A" * 22}
            if path == "/links" and method == "POST" and query:
                url, form = path, {"title": "t", **dict(parse_qsl(query))}
            one = _seen(first.request(method, url, data=form, json=body))
            two = _seen(second.request(method, url, data=form, json=body))
            asked += 1
            answered.add(one[0])
            if one != two:
                differences.append(f"{method} {url}: {one} is not {two}")
    assert not differences, f"{len(differences)} of {asked}:\n" + "\n".join(differences[:5])
    assert asked > 500
    if principal in {"member", "member by a group", "link", "viewer", "report", "visitor"}:
        assert 200 in answered, "the principal must see something, else nothing was compared"


def test_every_route_of_the_code_is_asked(world: World) -> None:
    asked = {(method, path) for method, path, _ in _requests(world)}
    types = {resource for resource, _ in _dicom_paths(world)}
    assert set(dicomweb_service.TABLE) <= types
    assert {path for _, path in _dicom_paths(world)} >= set(dicomweb_service.BY_QUERY)
    for route in API_TABLE.routes:
        for method in route.methods:
            assert any(m == method and route.pattern.fullmatch(path) for m, path in asked), (method, route.template)
