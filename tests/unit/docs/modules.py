"""Every module of the package, imported."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

import kheops

__all__ = ["all_modules", "subclasses"]

_T = TypeVar("_T")


def all_modules() -> list[ModuleType]:
    """Import and return every module; migrations belong to Alembic and are left out."""
    names = (found.name for found in pkgutil.walk_packages(kheops.__path__, "kheops."))
    return [importlib.import_module(name) for name in names if ".migrations" not in name]


def subclasses(of: type[_T]) -> Iterator[type[_T]]:
    """Give every class below ``of`` that has been imported."""
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)
