"""What the leak test asks: every route that the code knows, with visible, hidden and unused identifiers."""

from collections.abc import Iterable

from kheops.dicomweb import resources
from kheops.dicomweb.resources import Resource, to_path
from kheops.web import dicomweb_service
from kheops.web.api_service import TABLE as API_TABLE
from kheops.web.dicomweb import wado_uri
from tests.system.leak_world import World

__all__ = ["dicom_paths", "requests_of"]

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST")

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


def requests_of(world: World, *, thin: bool = False) -> Iterable[tuple[str, str, str]]:
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
