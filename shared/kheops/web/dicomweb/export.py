"""Downloads: ``application/zip`` of a study, of a series, and of what an album or the inbox holds."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from kheops.dicomweb.resources import Series, Study
from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError, InvalidIdentifierError
from kheops.ids import SeriesInstanceUID, series_instance_uid
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Parameter
from kheops.web.dicomweb.reading import ANSWER_HEADERS, asked
from kheops.web.pixels import streamed

__all__ = ["CHOSEN", "export"]

CHOSEN: Final = Parameter(
    "SeriesInstanceUID", "Of a download: the series wanted, repeated or separated by commas.", repeated=True
)
_KNOWN: Final = frozenset({"SeriesInstanceUID", "album", "inbox", "accept"})
_MOST_CHOSEN: Final = 1000
_HEADERS: Final = (*ANSWER_HEADERS, (b"content-disposition", b'attachment; filename="DICOM.ZIP"'))
"""A name of ours: an attribute of a patient would be data in a place where names of files are shown and kept."""


async def export(call: Call, resource: Study | Series | None) -> AsgiResponse:
    """Answer a retrieval with one archive.

    Parameters
    ----------
    call
        The request; without a resource it names ``album`` or ``inbox=true``.
    resource
        The study or series, or ``None`` for all that the source holds.

    Raises
    ------
    BadQueryParameterError
        If a parameter has no meaning for a download, no UID stands where one belongs, or there is no source.
    """
    for name, _ in call.query():
        if name not in _KNOWN:
            raise BadQueryParameterError(f"A download takes no parameter {name!r}.")
    asking = asked(call, UseKind.EXPORT)
    if resource is None and asking.album is None and not asking.inbox:
        raise BadQueryParameterError("A download of several studies takes 'album' or 'inbox=true'.")
    named = frozenset(_chosen(call))
    chosen: frozenset[SeriesInstanceUID] | None = named or None
    if isinstance(resource, Series):
        own = frozenset({resource.series_instance_uid})
        chosen = own if chosen is None else own & chosen
    study = None if resource is None else resource.study_instance_uid
    opening = partial(call.process.zip_export.open, asking, study=study, chosen=chosen)
    return await streamed(call, opening, headers=list(_HEADERS))


def _chosen(call: Call) -> Iterator[SeriesInstanceUID]:
    values = [part for name, value in call.query() if name == "SeriesInstanceUID" for part in value.split(",")]
    if len(values) > _MOST_CHOSEN:
        raise BadQueryParameterError(f"A download takes at most {_MOST_CHOSEN} series by UID.")
    for value in values:
        try:
            yield series_instance_uid(value)
        except InvalidIdentifierError:
            raise BadQueryParameterError("'SeriesInstanceUID' is not a list of UIDs.") from None
