"""The load balancer's routing, made from the route tables of the code.

``python -m local.terraform.url_map`` writes ``infra/routes.tf.json``. A rule says which service takes the paths of
some templates (`path_template_match` of the URL map: ``*`` is one segment, a final ``**`` any number of them); what no
rule names goes to the default. The rules are the fewest that give each route to the service that has it.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kheops.web import api_service, pages_service
from kheops.web.openapi import data_operations

__all__ = ["DEFAULT", "ROUTES", "Rule", "public_templates", "routes_file", "rules"]

ROUTES: Final = Path(__file__).resolve().parents[2] / "infra" / "routes.tf.json"
DEFAULT: Final = "web"
"""Whose page says that there is nothing here."""
_API: Final = ("/api", "/api/link/{token}")
"""What stands before the templates of both planes."""
_REST: Final = ("/api", "/.well-known")
"""Of the control plane where nothing else is said, so that what is not there is answered as the API answers."""
_VARIABLE: Final = re.compile(r"\{[a-z]+\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which service takes which paths; an earlier rule goes first.

    Parameters
    ----------
    service
        The folder below ``functions``.
    paths
        Templates as the URL map has them.
    """

    service: str
    paths: tuple[str, ...]


def public_templates() -> Mapping[str, frozenset[str]]:
    """Return the templates of all public routes by service, from the root, with variables as ``{name}``."""
    data_plane = {operation.template for operation in data_operations()}
    control_plane = {route.template for route in api_service.TABLE.routes}
    return {
        "dicomweb": frozenset(f"{before}{template}" for before in _API for template in data_plane),
        "api": frozenset(f"{before}{template}" for before in _API for template in control_plane)
        | frozenset(route.template for route in api_service.WELL_KNOWN.routes),
        "web": frozenset(route.template for route in pages_service.TABLE.routes),
    }


def rules(templates: Mapping[str, Iterable[str]]) -> list[Rule]:
    """Return the rules that give each template to its service.

    Parameters
    ----------
    templates
        As `public_templates` returns them.

    Raises
    ------
    ValueError
        If two services have the same path: no routing by path could tell them apart.
    """
    segments = {service: {_segments(each) for each in paths} for service, paths in templates.items()}
    paths: dict[str, set[str]] = {}
    for service, routes in segments.items():
        others = [route for other, routes in segments.items() if other != service for route in routes]
        for route in routes:
            if service != _inherited(route):
                paths.setdefault(service, set()).update(_own_paths(route, others))
    found = [Rule(service, tuple(sorted(paths[service]))) for service in sorted(paths)]
    return [*found, Rule("api", tuple(form for rest in _REST for form in (rest, f"{rest}/**")))]


def routes_file(found: Iterable[Rule]) -> str:
    """Return the text of the file for Terraform."""
    routes = {"default": DEFAULT, "rules": [{"service": rule.service, "paths": rule.paths} for rule in found]}
    made = "Made by python -m local.terraform.url_map from the route tables of the code; do not edit."
    return json.dumps({"//": made, "locals": {"routes": routes}}, indent=2) + "\n"


def _segments(template: str) -> tuple[str, ...]:
    return tuple(_VARIABLE.sub("*", segment) for segment in template.removeprefix("/").split("/"))


def _own_paths(route: tuple[str, ...], others: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the shortest beginning of a route that no route of another service has, with all below it.

    Where another service has something below the route, it is the route alone.
    """
    for length in range(1, len(route) + 1):
        prefix = route[:length]
        path = f"/{'/'.join(prefix)}"
        if not any(_can_begin(other, prefix) for other in others):
            return path, f"{path}/**"
    if any(len(other) == len(route) and _can_begin(other, route) for other in others):
        raise ValueError(f"/{'/'.join(route)} is a path of more than one service")
    return (f"/{'/'.join(route)}",)


def _can_begin(route: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return len(route) >= len(prefix) and all(
        own == other or "*" in {own, other} for own, other in zip(prefix, route, strict=False)
    )


def _inherited(route: tuple[str, ...]) -> str:
    return "api" if f"/{route[0]}" in _REST else DEFAULT


def main() -> None:
    """Write the file, or with the argument ``-`` to standard output."""
    text = routes_file(rules(public_templates()))
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        ROUTES.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
