"""The OpenAPI 3.1 document of both planes, made from the tables of routes and from what each route declares.

It is the same for every installation and every caller: addresses in it are relative.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product
from typing import Final

from kheops import __doc__ as package_words
from kheops.dicomweb import resources
from kheops.web import api_service, dicomweb_service
from kheops.web.declaration import Declaration, Parameter
from kheops.web.routing import SEGMENTS, Route
from kheops.web.schema import TEXT, UID, Schema, list_of, record, text

__all__ = ["UNDECLARED", "DataOperation", "data_operations", "document"]

_PLACES: Final = ("/studies/{study}", "/studies/{study}/series/{series}")
_INSTANCE: Final = f"{_PLACES[1]}/instances/{{instance}}"
_TEMPLATES: Final[Mapping[type, tuple[str, ...]]] = {
    resources.Studies: ("/studies",),
    resources.Study: _PLACES[:1],
    resources.Series: _PLACES[1:],
    resources.SopInstance: (_INSTANCE,),
    resources.SeriesOf: (f"{_PLACES[0]}/series",),
    resources.InstancesOf: tuple(f"{place}/instances" for place in _PLACES),
    resources.Metadata: tuple(f"{place}/metadata" for place in (*_PLACES, _INSTANCE)),
    resources.Frames: (f"{_INSTANCE}/frames/{{frames}}",),
    resources.Bulkdata: (f"{_INSTANCE}/bulkdata/{{path}}",),
    resources.Rendered: tuple(f"{of}/rendered" for of in (*_PLACES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")),
    resources.Thumbnail: tuple(f"{of}/thumbnail" for of in (*_PLACES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")),
    resources.InAlbum: tuple(f"{place}/albums/{{album}}" for place in _PLACES),
    resources.OfUser: tuple(f"{place}/users/{{user}}" for place in _PLACES),
    resources.Favorites: tuple(f"{place}/favorites" for place in _PLACES),
    resources.Comments: (f"{_PLACES[0]}/comments",),
    resources.Fetch: (f"{_PLACES[0]}/fetch", f"{_PLACES[0]}/series/fetch"),
    resources.OhifMetadata: (f"{_PLACES[0]}/ohifmetadata",),
}
"""The paths of each kind of resource; a test compares them with `kheops.dicomweb.resources`."""

# Kinds of segments of the data plane, and those of the control plane for which there is more to say than a pattern.
_SEGMENTS: Final[Mapping[str, Schema]] = {
    "study": UID,
    "series": UID,
    "instance": UID,
    "frames": text(pattern="^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"),
    "path": text(pattern="^[0-9A-Za-z_-]+$", most=512),
    "user": text(least=1, most=320),
}
_FORM: Final = "application/x-www-form-urlencoded"
_PROBLEM: Final = "application/problem+json"
_PROBLEM_SCHEMA: Final = record(
    {
        "type": text(pattern="^urn:kheops:problem:"),
        "title": TEXT,
        "status": {"type": "integer"},
        "message": TEXT,
        "detail": TEXT,
    }
)
_OAUTH_SCHEMA: Final = record({"error": TEXT, "error_description": TEXT})
_ERRORS: Final[Mapping[int, str]] = {
    400: "The request cannot be understood.",
    401: "There is no credential, or none that is good.",
    403: "The token or the role in the album does not include it.",
    404: "It does not exist, or is not the caller's to see.",
    406: "Nothing that there is is accepted.",
    409: "It contradicts how things are.",
    413: "The body is too large.",
    415: "The body's media type is not one that is taken.",
    416: "The range is not satisfiable.",
    429: "Too many requests; Retry-After says how long to wait.",
    502: "The DICOM store answered what it must not.",
    503: "Something that is needed does not answer now; Retry-After says how long to wait.",
}
_WITH_RETRY: Final = frozenset({429, 503})
_SECURITY: Final[Mapping[str, object]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of a trusted issuer, a capability token or a viewer token (RFC 6750).",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The same token as password, with any user name, for clients that know only this.",
    },
}


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    template: str
    declared: Declaration | None
    public: bool
    at_root: bool = False


@dataclass(frozen=True, slots=True)
class DataOperation:
    """One method of one path of the data plane."""

    method: str
    template: str
    declared: Declaration


def data_operations() -> Iterator[DataOperation]:
    """Give everything that the data plane can be asked for."""
    for each in _of_data_plane():
        if each.declared is not None:
            yield DataOperation(each.method, each.template, each.declared)


def _of_data_plane() -> Iterator[_Operation]:
    for template, declared in dicomweb_service.BY_QUERY.items():
        yield _Operation("GET", template, declared, public=False)
    for kind, verbs in dicomweb_service.TABLE.items():
        for (method, verb), template in product(verbs.items(), _TEMPLATES.get(kind, ())):
            yield _Operation(method, template, verb.declared, public=False)


def _operations() -> Iterator[_Operation]:
    for table, at_root in ((api_service.TABLE, False), (api_service.WELL_KNOWN, True)):
        for route in table.routes:
            yield from _of_route(route, at_root=at_root)
    yield from _of_data_plane()


def _of_route(route: Route, *, at_root: bool) -> Iterator[_Operation]:
    for method in route.methods:
        yield _Operation(method, route.template, route.declared, route.public, at_root)


UNDECLARED: Final = tuple(
    f"{operation.method} {operation.template}" for operation in _operations() if operation.declared is None
)
"""Routes that declare nothing, and are therefore not in the document; there are none, and a test says so."""


def document(version: str) -> Mapping[str, object]:
    """Return the document.

    Parameters
    ----------
    version
        Of this software.
    """
    paths: dict[str, dict[str, object]] = {}
    for operation in _operations():
        if operation.declared is None:
            continue
        item = paths.setdefault(operation.template, {})
        if not item:
            names = _names(operation.template)
            if names:
                item["parameters"] = [_segment(name) for name in names]
            if operation.at_root:
                item["servers"] = [{"url": "/"}]
        item[operation.method.lower()] = _described(operation, operation.declared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "KHEOPS", "version": version, "summary": (package_words or "").strip()},
        "servers": [
            {"url": "/api"},
            {
                "url": "/api/link/{token}",
                "description": "For clients that cannot send headers: the token stands in the path.",
                "variables": {"token": {"default": "token", "description": "A capability or viewer token."}},
            },
        ],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM_SCHEMA, "OAuthError": _OAUTH_SCHEMA},
            "securitySchemes": _SECURITY,
        },
        "security": [{name: []} for name in _SECURITY],
    }


def _names(template: str) -> list[str]:
    return [part[1:-1] for part in template.split("/") if part.startswith("{")]


def _segment(name: str) -> Mapping[str, object]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": _SEGMENTS.get(name) or text(pattern=f"^{SEGMENTS[name]}$"),
    }


def _described(operation: _Operation, declared: Declaration) -> Mapping[str, object]:
    words = [part.strip("{}").title() for part in operation.template.split("/") if part]
    described: dict[str, object] = {
        "operationId": operation.method.lower() + "".join(words).replace(".", "").replace("-", ""),
        "summary": declared.summary,
        "responses": _responses(operation, declared),
    }
    parameters = [_parameter(each, "query") for each in declared.query]
    parameters += [_parameter(each, "header") for each in declared.headers]
    if parameters:
        described["parameters"] = parameters
    body = _body(declared)
    if body is not None:
        described["requestBody"] = body
    if operation.public:
        described["security"] = []
    return described


def _parameter(parameter: Parameter, place: str) -> Mapping[str, object]:
    described: dict[str, object] = {
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "schema": list_of(parameter.schema) if parameter.repeated else parameter.schema,
    }
    if parameter.about:
        described["description"] = parameter.about
    return described


def _body(declared: Declaration) -> Mapping[str, object] | None:
    content: dict[str, object] = {media_type: {"schema": schema} for media_type, schema in declared.bodies.items()}
    if declared.form is not None:
        content[_FORM] = {"schema": _form_schema(declared.form)}
    if not content:
        return None
    required = declared.form is None or any(field.required for field in declared.form)
    return {"required": required, "content": content}


def _form_schema(form: Iterable[Parameter]) -> Schema:
    properties: dict[str, Schema] = {}
    for field in form:
        schema = list_of(field.schema) if field.repeated else field.schema
        properties[field.name] = {**schema, "description": field.about} if field.about else schema
    required = [field.name for field in form if field.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _responses(operation: _Operation, declared: Declaration) -> Mapping[str, object]:
    responses: dict[int, dict[str, object]] = {}
    for status, answer in declared.answers.items():
        response: dict[str, object] = {"description": answer.about}
        if answer.content:
            response["content"] = {
                media_type: {"schema": schema} if schema else {} for media_type, schema in answer.content.items()
            }
        if answer.headers:
            response["headers"] = {name: {"schema": schema} for name, schema in answer.headers.items()}
        responses[status] = response
    for status in sorted(_refusals(operation, declared)):
        _add_refusal(responses, status, oauth=declared.oauth and status in {400, 413, 415})
    return {str(status): responses[status] for status in sorted(responses)}


def _refusals(operation: _Operation, declared: Declaration) -> set[int]:
    """Return the statuses of all refusals: those that are declared, and those that follow from what is."""
    statuses = {400, 503, *declared.errors}
    if not operation.public:
        statuses |= {401, 403, 404}
    if declared.form is not None or declared.bodies:
        statuses |= {413, 415}
    return statuses


def _add_refusal(responses: dict[int, dict[str, object]], status: int, *, oauth: bool) -> None:
    name = "OAuthError" if oauth else "Problem"
    media_type = "application/json" if oauth else _PROBLEM
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    response = responses.setdefault(status, {"description": _ERRORS[status] or HTTPStatus(status).phrase})
    there = response.get("content")
    response["content"] = {**there, **content} if isinstance(there, dict) else content
    headers: dict[str, object] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"schema": TEXT}
    if status in _WITH_RETRY:
        headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}}
    if headers:
        response["headers"] = headers
