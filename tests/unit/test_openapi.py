"""The OpenAPI document says everything that the tables of routes have, and nothing else."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest
from starlette.requests import Request

from kheops.errors import BadFormParameterError, BadQueryParameterError
from kheops.web import openapi
from kheops.web.api.parameters import form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import DONE, PAGING, Declaration, Parameter
from kheops.web.errors import STATUSES
from kheops.web.openapi import document
from tests.unit.docs.routes import control_routes, data_routes

DOCUMENT: Mapping[str, Any] = json.loads(json.dumps(document("1.2.3")))
OPERATIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (method.upper(), path): described
    for path, item in DOCUMENT["paths"].items()
    for method, described in item.items()
    if method not in {"parameters", "servers"}
}


def test_every_route_is_declared() -> None:
    assert openapi.UNDECLARED == ()


def test_document_has_the_routes_of_the_tables() -> None:
    assert set(OPERATIONS) == control_routes() | data_routes()


def test_operations_have_names_of_their_own() -> None:
    names = [described["operationId"] for described in OPERATIONS.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+[A-Za-z]+", name) for name in names)


def test_every_segment_of_a_path_is_described() -> None:
    for path, item in DOCUMENT["paths"].items():
        assert re.findall(r"\{(\w+)\}", path) == [each["name"] for each in item.get("parameters", ())], path


def test_every_schema_is_one() -> None:
    def schemas(value: object) -> list[Any]:
        match value:
            case {"schema": schema, **rest}:
                return [schema, *schemas(rest)]
            case dict():
                return [found for each in value.values() for found in schemas(each)]
            case list():
                return [found for each in value for found in schemas(each)]
            case _:
                return []

    found = schemas(DOCUMENT["paths"])
    assert len(found) > len(OPERATIONS)
    for schema in found:
        jsonschema_rs.meta.validate(schema)


def test_statuses_are_those_that_errors_have() -> None:
    refused = {int(status) for described in OPERATIONS.values() for status in described["responses"]} - {200, 201}
    assert {status for status in refused if status >= 400} <= {*STATUSES.values(), 416}
    assert "500" not in {status for described in OPERATIONS.values() for status in described["responses"]}


def _headers(method: str, path: str) -> list[str]:
    parameters = OPERATIONS[method, path].get("parameters", [])
    return [each["name"] for each in parameters if each["in"] == "header"]


def test_headers_that_a_route_reads_and_tells_are_in_the_document() -> None:
    series = "/studies/{study}/series/{series}"
    instance = f"{series}/instances/{{instance}}"
    for path in (instance, f"{instance}/frames/{{frames}}", f"{instance}/bulkdata/{{path}}"):
        assert _headers("GET", path) == ["If-None-Match"]
        responses = OPERATIONS["GET", path]["responses"]
        assert all("ETag" in responses[status]["headers"] for status in ("200", "304"))
        assert "content" not in responses["304"]
    for path in ("/studies/{study}", series):
        for place in (path, f"{path}/albums/{{album}}"):
            assert _headers("DELETE", place) == ["Admin-Action"]
    assert _headers("DELETE", "/legalholds/{series}") == ["Admin-Reason"]


@pytest.mark.parametrize(
    ("path", "has_favorite"),
    [("/studies", True), ("/series", True), ("/studies/{study}/series", True), ("/instances", False)],
)
def test_searches_say_all_their_parameters(path: str, has_favorite: bool) -> None:
    names = {each["name"] for each in OPERATIONS["GET", path]["parameters"]}
    assert {"sort", "charset", "limit", "offset", "includefield"} <= names
    assert ("favorite" in names) == has_favorite


def test_only_public_routes_need_no_credential() -> None:
    public = {operation for operation, described in OPERATIONS.items() if described.get("security") == []}
    assert ("GET", "/openapi.json") in public
    assert all("401" in OPERATIONS[operation]["responses"] for operation in OPERATIONS.keys() - public)
    assert not any(path.startswith(("/albums", "/studies", "/capabilities")) for _, path in public)


def _call(declared: Declaration, *, query: str = "", form: str = "") -> Call:
    async def receive() -> Mapping[str, object]:
        return {"type": "http.request", "body": form.encode(), "more_body": False}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": headers}
    request = Request(scope, receive)  # type: ignore[arg-type]
    return Call(request, None, "id", None, "/", declared=declared)  # type: ignore[arg-type]


DECLARED = Declaration(
    "Do it",
    DONE,
    query=(Parameter("one"), Parameter("many", repeated=True)),
    form=(Parameter("name", required=True),),
)


def test_parameters_that_are_declared_are_let_pass_and_no_others() -> None:
    query = query_of(_call(DECLARED, query="one=1&many=2&many=3"))
    assert (query.one("one"), query.all("many")) == ("1", ("2", "3"))
    for refused in ("two=1", "one=1&one=1"):
        with pytest.raises(BadQueryParameterError):
            query_of(_call(DECLARED, query=refused))


def test_too_many_parameters_or_fields_are_told_as_that() -> None:
    many = "&".join(["many=1"] * 1000)
    assert len(query_of(_call(DECLARED, query=many)).all("many") or ()) == 1000
    with pytest.raises(BadQueryParameterError, match="more than 1000 parameters"):
        query_of(_call(DECLARED, query=f"{many}&many=1"))
    with pytest.raises(BadFormParameterError, match="more than 1000 fields"):
        asyncio.run(form_of(_call(DECLARED, form="&".join(["name=1"] * 1001))))


@pytest.mark.parametrize(("name", "least"), [("limit", 1), ("offset", 0)])
def test_a_number_that_is_too_large_is_told_with_the_largest(name: str, least: int) -> None:
    declared = Declaration("List", DONE, query=PAGING)
    assert getattr(query_of(_call(declared, query=f"{name}=999999999")).page(), name) > least
    with pytest.raises(BadQueryParameterError, match=f"from {least} to 999999999"):
        query_of(_call(declared, query=f"{name}=1000000000")).page()


def test_fields_that_are_declared_are_let_pass_and_no_others() -> None:
    async def read(form: str) -> str:
        return (await form_of(_call(DECLARED, form=form))).required("name")

    assert asyncio.run(read("name=x")) == "x"
    for refused in ("name=x&other=1", "name=x&name=y"):
        with pytest.raises(BadFormParameterError):
            asyncio.run(read(refused))
