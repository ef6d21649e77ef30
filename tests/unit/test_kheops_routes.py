"""Every route of KHEOPS is there, but for those that this table names with a reason."""

import re

import pytest

from kheops.dicomweb.resources import parse
from kheops.errors import MethodNotAllowedError, RouteNotFoundError
from kheops.web import api_service, dicomweb_service
from tests.kheops_routes import KHEOPS_ROUTES, sample_of

MISSING = {
    (
        "GET",
        "/studies/{study}/series/{series}/bulkdata/{path}",
    ): "bulk data is an instance's here (PS3.18 table 10.4.1)",
}
"""What KHEOPS has and is not here."""


def _is_there(method: str, path: str) -> bool:
    try:
        api_service.TABLE.find(method, path)
    except MethodNotAllowedError:
        return False
    except RouteNotFoundError:
        if path in dicomweb_service.BY_QUERY:
            return method == "GET"
        resource = parse(path) if path.startswith("/studies") else None
        return resource is not None and method in dicomweb_service.TABLE.get(type(resource), {})
    return True


def test_the_table_is_whole() -> None:
    assert len(KHEOPS_ROUTES) == len(set(KHEOPS_ROUTES)) >= 80
    assert all(re.fullmatch(r"/[A-Za-z{}/.-]+", path) for _, path in KHEOPS_ROUTES)


@pytest.mark.parametrize("route", [each for each in KHEOPS_ROUTES if each not in MISSING], ids=" ".join)
def test_a_route_of_kheops_is_there(route: tuple[str, str]) -> None:
    method, path = route
    assert _is_there(method, sample_of(path))


@pytest.mark.parametrize("route", MISSING, ids=" ".join)
def test_what_is_said_to_be_missing_is_missing(route: tuple[str, str]) -> None:
    assert route in KHEOPS_ROUTES
    assert not _is_there(route[0], sample_of(route[1]))


def test_a_route_that_is_not_there_is_found_out() -> None:
    assert not _is_there("GET", "/albums/AAAAAAAAAA/nothing")
    assert not _is_there("PATCH", "/studies/1.2.3")
    assert not _is_there("DELETE", "/albums")
