"""The columns in which the catalog keeps DICOM attributes: the keyword in snake case."""

import re
from typing import Final

from kheops.dicomweb.attributes import CATALOGED_ATTRIBUTES, Level

__all__ = ["INSTANCE_COLUMNS", "SERIES_COLUMNS", "column"]

_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_RENAMED: Final = {"AvailableTransferSyntaxUID": "transfer_syntax_uid"}


def column(keyword: str) -> str:
    """Return the column of a cataloged attribute: ``StudyDate`` is ``study_date``."""
    return _RENAMED.get(keyword) or _BOUNDARY.sub("_", keyword).lower()


SERIES_COLUMNS: Final = {
    attribute.keyword: column(attribute.keyword)
    for attribute in CATALOGED_ATTRIBUTES
    if attribute.level is not Level.INSTANCE
}
"""Columns of ``series`` by keyword: patient, study and series attributes, from that series's own bytes."""

INSTANCE_COLUMNS: Final = {
    attribute.keyword: column(attribute.keyword)
    for attribute in CATALOGED_ATTRIBUTES
    if attribute.level is Level.INSTANCE
}
"""Columns of ``instances`` by keyword."""
