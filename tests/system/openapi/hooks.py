"""What Schemathesis loads: bodies of STOW-RS, real DICOM files among them, and what a form cannot tell apart."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.dicom_files import a_file, multipart

_BOUNDARY = "b0undary"
_FORM = "application/x-www-form-urlencoded"
_UIDS = st.integers(1, 4).map(lambda number: f"1.2.826.0.1.3680043.8.498.7.{number}")
_FILES = st.builds(
    a_file,
    study=_UIDS,
    series=_UIDS,
    instance=_UIDS,
    modality=st.sampled_from(["CT", "MR"]),
    patient_name=st.just("Xq^Unmistakable"),
)
_PARTS = st.one_of(_FILES, _FILES.map(lambda file: file[:200]), st.binary(max_size=200))
_MULTIPART = st.builds(
    lambda parts, closed: multipart(*parts, boundary=_BOUNDARY, close=closed),
    st.lists(_PARTS, max_size=3),
    st.sampled_from([True, True, True, False]),
)

schemathesis.openapi.media_type("application/dicom", _PARTS)
for _media_type in ("multipart/related", "multipart/form-data"):
    schemathesis.openapi.media_type(_media_type, st.one_of(_MULTIPART, st.binary(max_size=100)))


@schemathesis.serializer("application/dicom", "multipart/related", "multipart/form-data")
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send a body without changes."""
    del context
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Leave out wrong values that a form writes like right ones: 0.5 like a UID, a value like a list of one."""
    del context
    if case.media_type != _FORM or not isinstance(case.body, dict):
        return True
    schema = case.operation.definition.raw["requestBody"]["content"][_FORM]["schema"]
    return not any(
        _looks_right(value, schema["properties"][name])
        for name, value in case.body.items()
        if name in schema["properties"]
    )


def _looks_right(value: object, schema: dict[str, Any]) -> bool:
    if schema.get("type") == "array":
        return not isinstance(value, list) or any(_looks_right(each, schema["items"]) for each in value)
    return schema.get("type") == "string" and not isinstance(value, str | list | dict)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Name the boundary, which no document can."""
    del context, kwargs
    if case.media_type == "multipart/related":
        case.headers["Content-Type"] = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    elif case.media_type == "multipart/form-data":
        case.headers["Content-Type"] = f"multipart/form-data; boundary={_BOUNDARY}"
