"""The load balancer's routing: each route of the code reaches the service that has it, and no other."""

import json
import re

import pytest

from kheops.web.routing import SEGMENTS
from local.gateway import service_of
from local.terraform.url_map import DEFAULT, ROUTES, Rule, public_templates, routes_file, rules

MOST_OPERATORS = 5
MOST_CHARACTERS = 255
MOST_RULES = 200
"""Limits of Google's URL maps: wildcards and characters of a template, rules of a path matcher."""

SAMPLES = {"study": "1.2.840.1", "series": "1.2.3", "instance": "1.2.4", "frames": "1,2", "token": "AbC.d-e_f"}
# Sorted: tests run on several processes, which must agree on what there is.
TEMPLATES = sorted((service, each) for service, templates in public_templates().items() for each in templates)


def _rules() -> list[Rule]:
    routes = json.loads(ROUTES.read_text("utf-8"))["locals"]["routes"]
    assert routes["default"] == DEFAULT
    return [Rule(rule["service"], tuple(rule["paths"])) for rule in routes["rules"]]


def _expression(template: str) -> re.Pattern[str]:
    """Return what a template matches, as the documentation of URL maps says: ``*`` one segment, ``**`` any."""
    parts = re.split(r"(\*\*|\*)", template)
    return re.compile("".join({"**": ".*", "*": "[^/]+"}.get(part, re.escape(part)) for part in parts))


def _reached(path: str) -> str:
    """Return the service of the first rule that matches: the URL map takes rules by priority."""
    for rule in _rules():
        if any(_expression(template).fullmatch(path) for template in rule.paths):
            return rule.service
    return DEFAULT


def _path(template: str) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda name: SAMPLES.get(name[1], "kheops.css"), template)


def test_the_committed_file_is_what_the_code_makes() -> None:
    made = routes_file(rules(public_templates()))
    assert ROUTES.read_text("utf-8") == made, "python -m local.terraform.url_map writes it anew"


def test_all_three_services_have_routes() -> None:
    assert {service for service, _ in TEMPLATES} == {"dicomweb", "api", "web"}
    assert len(TEMPLATES) > 100
    assert {"asset", "link", "album"} < SEGMENTS.keys()


@pytest.mark.parametrize(("service", "template"), TEMPLATES)
def test_each_route_reaches_its_service(service: str, template: str) -> None:
    path = _path(template)
    assert _reached(path) == service
    assert _reached(path) == service_of({"path": path, "raw_path": path.encode()}), "the local gateway goes elsewhere"


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/nothing", "api"),
        ("/api", "api"),
        ("/.well-known/nothing", "api"),
        ("/nothing", "web"),
        ("/studies", "web"),
        ("/api/studies/", "dicomweb"),
        ("/api/studiesx", "api"),
        ("/api/link/a/b/studies", "api"),
    ],
)
def test_what_no_route_has_is_answered_by_whom_it_would_belong_to(path: str, service: str) -> None:
    assert _reached(path) == service


def test_templates_keep_the_limits_of_url_maps() -> None:
    found = _rules()
    assert len(found) <= MOST_RULES
    for template in [path for rule in found for path in rule.paths]:
        assert template.count("*") - template.count("**") <= MOST_OPERATORS
        assert len(template) <= MOST_CHARACTERS
        assert "**" not in template or template.index("**") == len(template) - 2, "nothing may follow **"


def test_services_below_one_name_are_told_apart_further_down() -> None:
    found = rules({"dicomweb": ["/api/albums/{album}/pixels"], "api": ["/api/albums/{album}"], "web": []})
    assert found[0] == Rule("dicomweb", ("/api/albums/*/pixels", "/api/albums/*/pixels/**"))


def test_a_route_above_those_of_another_service_is_taken_alone() -> None:
    found = rules({"dicomweb": ["/api/albums/{album}"], "api": ["/api/albums/{album}/users"], "web": []})
    assert found[0] == Rule("dicomweb", ("/api/albums/*",))


def test_a_path_of_two_services_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one service"):
        rules({"dicomweb": ["/api/albums"], "api": ["/api/albums"], "web": []})
