"""JSON Schemas (2020-12) of what requests carry and answers have, for the OpenAPI document.

Each stands beside the code that reads or writes the value, so that one is not changed without a look at the other.
"""

from collections.abc import Mapping
from typing import Final

__all__ = [
    "ALBUM_ID",
    "ANYTHING",
    "CAPABILITY_ID",
    "COUNT",
    "FLAG",
    "TEXT",
    "UID",
    "Schema",
    "either",
    "list_of",
    "one_of",
    "record",
    "text",
    "whole",
]

Schema = Mapping[str, object]
"""A JSON Schema."""

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
ANYTHING: Final[Schema] = {}
UID: Final[Schema] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": 64}
"""A DICOM UID as `kheops.ids` takes it (PS3.5 section 9.1)."""
ALBUM_ID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9]{10}$"}
CAPABILITY_ID: Final[Schema] = ALBUM_ID


def text(*, least: int = 0, most: int | None = None, pattern: str | None = None) -> Schema:
    """Return the schema of a text.

    Parameters
    ----------
    least, most
        Its length in characters.
    pattern
        A regular expression (ECMA-262) that it must match.
    """
    schema: dict[str, object] = {"type": "string"}
    if least:
        schema["minLength"] = least
    if most is not None:
        schema["maxLength"] = most
    if pattern is not None:
        schema["pattern"] = pattern
    return schema


def whole(*, least: int, most: int | None = None) -> Schema:
    """Return the schema of a whole number between two bounds, which belong to it."""
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": "integer", **bounds}


def one_of(*values: str) -> Schema:
    """Return the schema of a closed list of words."""
    return {"type": "string", "enum": list(values)}


def list_of(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def either(*schemas: Schema) -> Schema:
    """Return the schema of a value that obeys one of several."""
    return {"anyOf": list(schemas)}


def record(always: Mapping[str, Schema], maybe: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has nothing but these members.

    Parameters
    ----------
    always
        Members that it always has.
    maybe
        Members that are left out where there is nothing to say.
    """
    return {
        "type": "object",
        "properties": {**always, **(maybe or {})},
        "required": list(always),
        "additionalProperties": False,
    }
