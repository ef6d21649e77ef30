"""What can be asked for, from the code's own tables: pairs of a method and a path template."""

import typing
from itertools import product

from kheops.dicomweb import resources
from kheops.dicomweb.resources import Resource, to_path
from kheops.ids import album_id, series_instance_uid, sop_instance_uid, study_instance_uid
from kheops.web import api_service, dicomweb_service, pages_service
from kheops.web.routing import RouteTable

__all__ = ["control_routes", "data_routes", "page_routes"]

_SAMPLES: dict[str, object] = {
    "study_instance_uid": study_instance_uid("1.2.1"),
    "series_instance_uid": series_instance_uid("1.2.2"),
    "sop_instance_uid": sop_instance_uid("1.2.3"),
    "album": album_id("AAAAAAAAAA"),
    "user": "somebody",
    "frames": (1, 2),
    "path": "BULK",
}
_PARAMETERS = {
    "/1.2.1": "/{study}",
    "/1.2.2": "/{series}",
    "/1.2.3": "/{instance}",
    "/AAAAAAAAAA": "/{album}",
    "/somebody": "/{user}",
    "/1,2": "/{frames}",
    "/BULK": "/{path}",
}


def data_routes() -> set[tuple[str, str]]:
    """Return the routes of the data plane, below ``/api``."""
    found = {("GET", path) for path in dicomweb_service.BY_QUERY}
    for kind, verbs in dicomweb_service.TABLE.items():
        paths = {_template(resource) for resource in _samples(kind)}
        found |= set(product(verbs, paths))
    return found


def control_routes() -> set[tuple[str, str]]:
    """Return the routes of the control plane, below ``/api``, and those at the root."""
    return _routes(api_service.TABLE) | _routes(api_service.WELL_KNOWN)


def page_routes() -> set[tuple[str, str]]:
    """Return the routes of the pages."""
    return _routes(pages_service.TABLE)


def _routes(table: RouteTable) -> set[tuple[str, str]]:
    return {(method, route.template) for route in table.routes for method in route.methods}


def _samples(kind: type) -> list[Resource]:
    """Return one resource of a kind for each kind of resource that it may hang on."""
    choices: list[list[object]] = []
    names: list[str] = []
    for name, annotation in typing.get_type_hints(kind, vars(resources)).items():
        names.append(name)
        if name in _SAMPLES:
            choices.append([_SAMPLES[name]])
        else:
            parents = typing.get_args(annotation) or (annotation,)
            choices.append([sample for parent in parents for sample in _samples(parent)])
    return [kind(**dict(zip(names, values, strict=True))) for values in product(*choices)]


def _template(resource: Resource) -> str:
    path = to_path(resource)
    for sample, parameter in _PARAMETERS.items():
        path = path.replace(sample, parameter)
    return path
