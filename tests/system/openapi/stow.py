"""Bodies of STOW-RS for Schemathesis, which loads this module: real DICOM files, and what is none."""

from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.dicom_files import a_file, multipart

_BOUNDARY = "b0undary"
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
schemathesis.openapi.media_type("multipart/related", st.one_of(_MULTIPART, st.binary(max_size=100)))


@schemathesis.serializer("application/dicom", "multipart/related")
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send a body without changes."""
    del context
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Name the boundary, which no document can."""
    del context, kwargs
    if case.media_type == "multipart/related":
        case.headers["Content-Type"] = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
