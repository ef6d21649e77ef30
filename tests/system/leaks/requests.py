"""What the leak test asks: every route that the code knows, with visible, hidden and unused identifiers."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from kheops.dicomweb import resources
from kheops.dicomweb.resources import Resource, to_path
from kheops.web import dicomweb_service
from kheops.web.api_service import TABLE as API_TABLE
from kheops.web.dicomweb import wado_uri
from tests.system.leaks.world import World

__all__ = ["dicom_paths", "requests", "sendable"]

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST")
_SEARCHED = {resources.Studies, resources.SeriesOf, resources.InstancesOf, None}
_ZIP = "accept=application/zip"
_XML = "accept=application/dicom%2Bxml"
THIN = ("shared", "hidden in a shared study", "unused")
"""Places asked of those who have no good credential: 401 everywhere is soon compared."""


def dicom_paths(world: World, places: Iterable[str] | None = None) -> Iterable[tuple[type[Resource] | None, str]]:
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


def requests(world: World, *, thin: bool = False) -> Iterable[tuple[str, str, str]]:
    """Give (method, path, query) of everything to ask: first what only reads, then what changes something."""
    dicom = list(dicom_paths(world, THIN if thin else None))
    few = {path for _, path in dicom_paths(world, THIN)}
    api = list(dict.fromkeys(_api_paths(world)))
    for method in METHODS:
        for resource, path in dicom:
            if path not in few and method in {"OPTIONS", "PATCH", "POST"}:
                continue  # decided from the path's form alone, three places show it
            if method == "POST" and resource in {resources.Studies, resources.Study}:
                continue  # STOW-RS, exempt by name
            yield method, path, ""
            for query in _dicom_queries(world, method, resource, path, thin=thin):
                yield method, path, query
        for path in api:
            yield method, path, ""
            for query in _api_queries(world, method, path):
                yield method, path, query


def _dicom_queries(
    world: World, method: str, resource: type[Resource] | None, path: str, *, thin: bool
) -> Iterable[str]:
    albums = [f"album={album}" for album in world.albums.values()]
    match method:
        case "GET" | "HEAD" if path == wado_uri.PATH:
            yield from _by_uri(world)
        case "GET" if resource in _SEARCHED:
            yield from () if thin else _searches(world)
        case "PUT" if resource in {resources.Study, resources.InAlbum, resources.OfUser, resources.Favorites}:
            yield from (*albums, "inbox=true")
        case "DELETE" if resource is resources.Favorites:
            yield from (*albums, "inbox=true")
        case _:
            pass
    if method != "GET":
        return
    if resource in {resources.Rendered, resources.Thumbnail}:
        yield "viewport=8,8&accept=text/html"
    if resource in {resources.Study, resources.Series}:
        yield _ZIP
    if resource is resources.Studies:
        yield from (f"{album}&{_ZIP}" for album in albums)
        yield f"inbox=true&{_ZIP}"
    if resource in {resources.Study, resources.Metadata}:
        yield from albums
    if resource in {*_SEARCHED, resources.Metadata}:
        yield _XML


def _api_queries(world: World, method: str, path: str) -> Iterable[str]:
    albums = [f"album={album}" for album in world.albums.values()]
    match method, path:
        case "GET", "/users":
            yield from _about_people(world)
        case "GET", "/albums":
            yield from ("modality=CT", "modality=SR", "sort=-number_of_studies", "sort=number_of_comments")
        case "GET", "/audit":
            yield from albums
            for place in world.places.values():
                yield from (f"study={place.study}", f"series={place.series}")
            yield from (f"user={name}@example.org" for name in ("alice", "nobody"))
        case ("GET", "/links" | "/capabilities"):
            yield from albums
        case "POST", "/links":
            yield from albums
            for place in world.places.values():
                yield f"study={place.study}"
                yield f"series={place.study}/{place.series}"
        case "POST", "/shares":
            yield from (f"{place.study}/{place.series}" for place in world.places.values())
        case "POST", "/report":
            for client in world.providers:
                yield from (f"client_id={client}&studyUID={place.study}" for place in world.places.values())
        case "GET", _ if path.endswith("/events"):
            for place in world.places.values():
                yield f"types=mutations&studies={place.study}"
                yield f"types=mutations&series={place.series}"
        case _:
            pass


def _about_people(world: World) -> Iterable[str]:
    for reference in ("alice@example.org", "nobody@example.org"):
        for album in world.albums.values():
            yield f"reference={reference}&album={album}"
            yield f"search={reference}&album={album}"
        for place in world.places.values():
            yield f"reference={reference}&studyInstanceUID={place.study}"
            yield f"search={reference}&studyInstanceUID={place.study}"
    yield from (f"search={wanted}" for wanted in ("ali", "bob", "carol", "dave", "erin", "example"))


def sendable(method: str, path: str, query: str, *, token: str | None) -> tuple[str, dict[str, str] | None, object]:
    """Return the address, the form and the JSON of a request; what forms take is in the query until then."""
    form = {"name": "New", "title": "t", "scope_type": "user"} if method in {"POST", "PATCH"} else None
    url = f"{path}?{query}" if query else path
    if method == "POST" and query and path == "/report":
        # What others send in the query string goes into the form here, and the token with it.
        return path, {**dict(parse_qsl(query)), "access_token": token or "none"}, None
    if method == "POST" and query and path == "/links":
        return path, {"title": "t", **dict(parse_qsl(query))}, None
    if method == "POST" and query and path == "/shares":
        study, _, series = query.partition("/")
        one_series = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        return path, None, {"series": [one_series], "target": {"user": "bob@example.org"}}
    if form is not None:
        form = _form(path) or form
    return url, form, None


def _form(path: str) -> dict[str, str] | None:
    """Return the form of a route that takes one of its own."""
    if path.endswith("/comments"):
        return {"comment": "New"}
    if path.endswith("/trigger"):
        return {"event": "new_user", "user": "alice@example.org"}
    if "/webhooks" in path:
        return {"name": "New", "url": "https://new.example/", "event": "new_user"}
    if path.endswith("/invitations"):
        return {"email": "zoe@example.org"}
    if path.endswith("/open"):
        return {"secret": "A" * 22}
    return None
