"""``docs/settings.md`` lists exactly the settings that there are, with their defaults and bounds."""

from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kheops.config import IssuerSettings, RoleRule, Settings
from tests.unit.docs.tables import rows

_PAGE = "docs/settings.md"
_TABLES: list[tuple[str, type[BaseModel], str]] = [
    ("Variables", Settings, "KHEOPS_"),
    ("Fields of an issuer", IssuerSettings, ""),
    ("Fields of an administrator rule", RoleRule, ""),
]


@pytest.mark.parametrize(("heading", "model", "prefix"), _TABLES)
def test_every_setting_is_documented_with_its_default(heading: str, model: type[BaseModel], prefix: str) -> None:
    documented = {row[0]: row[1] for row in rows(_PAGE, heading)}
    expected = {
        prefix + (name.upper() if prefix else name): _default(field) for name, field in model.model_fields.items()
    }
    assert documented == expected


@pytest.mark.parametrize(("heading", "model", "prefix"), _TABLES)
def test_documented_bounds_and_choices_are_those_of_the_code(
    heading: str, model: type[BaseModel], prefix: str
) -> None:
    documented = {row[0]: row[2] for row in rows(_PAGE, heading)}
    for name, field in model.model_fields.items():
        expected = _values(field)
        if expected is not None:
            assert documented[prefix + (name.upper() if prefix else name)] == expected


@pytest.mark.parametrize(("heading", "model", "prefix"), _TABLES)
def test_every_setting_says_what_it_does(heading: str, model: type[BaseModel], prefix: str) -> None:
    del model, prefix
    assert [row[0] for row in rows(_PAGE, heading) if len(row[3]) < 20] == []


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "no default"
    value: Any = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value in {None, ""} else str(value)


def _values(field: FieldInfo) -> str | None:
    """Return what a field may be, where its type says it."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    if field.annotation is bool:
        return "true, false"
    least = [bound.ge for bound in field.metadata if isinstance(bound, annotated_types.Ge)]
    most = [bound.le for bound in field.metadata if isinstance(bound, annotated_types.Le)]
    if not least:
        return None
    return f"{least[0]} to {most[0]}" if most else f"{least[0]} or more"
