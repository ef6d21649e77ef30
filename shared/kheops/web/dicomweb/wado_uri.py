"""WADO-URI (PS3.18 section 9): one instance, named by query parameters, as it is or as what it shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, MediaRange, parse_accept
from kheops.dicomweb.media_types import Accept
from kheops.dicomweb.rendering import RenderingParameters, Viewport, Window, read_quality, read_side, read_window
from kheops.dicomweb.resources import Frames, SopInstance
from kheops.errors import BadQueryParameterError, InvalidIdentifierError, NotAcceptableError
from kheops.ids import series_instance_uid, sop_instance_uid, study_instance_uid, transfer_syntax_uid
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Answer, Declaration, Parameter
from kheops.web.dicomweb.reading import SOURCE
from kheops.web.dicomweb.rendered import RENDERED_TYPES, shown
from kheops.web.dicomweb.retrieve import retrieve_as
from kheops.web.schema import ANYTHING, UID, text, whole

__all__ = ["PATH", "WADO", "Request", "read_request", "wado"]

PATH: Final = "/wado"
_DICOM: Final = "application/dicom"
_MOST_FRAME: Final = 999_999_999
_REFUSED: Final = ("anonymize", "presentationUID", "presentationSeriesUID", "region")
"""Parameters that must not be passed over: who sends them would get something else than they think."""
_SIDE: Final = whole(least=1, most=10_000)
_FREE_SIDE: Final = 10_000
_NUMBER: Final = text(pattern=r"^-?[0-9]{1,6}$")
_AS_STORED: Final = "*"
"""As WADO-RS has it, where this service is older: npm's dicomweb-client sends it unless told otherwise."""
_TRANSFER_SYNTAX: Final = text(most=64, pattern=r"^(\*|[0-9]+(\.[0-9]+)*)$")

WADO: Final = Declaration(
    "Retrieve an instance, or what it shows (WADO-URI)",
    {
        200: Answer(
            "The instance, a picture, a document or a video.", dict.fromkeys((_DICOM, *RENDERED_TYPES), ANYTHING)
        )
    },
    query=(
        Parameter("requestType", "WADO.", {"enum": ["WADO"]}, required=True),
        Parameter("studyUID", "The study.", UID, required=True),
        Parameter("seriesUID", "The series.", UID, required=True),
        Parameter("objectUID", "The instance.", UID, required=True),
        Parameter("contentType", "Media types, the best one first; in place of the Accept header."),
        Parameter("transferSyntax", "Of application/dicom; `*` for the one that is stored.", _TRANSFER_SYNTAX),
        Parameter("frameNumber", "The frame that is shown.", whole(least=1, most=_MOST_FRAME)),
        Parameter("rows", "The height to fit into.", _SIDE),
        Parameter("columns", "The width to fit into.", _SIDE),
        Parameter("windowCenter", "With windowWidth.", _NUMBER),
        Parameter("windowWidth", "With windowCenter.", text(pattern=r"^[1-9][0-9]{0,5}$")),
        Parameter("imageQuality", "Of a lossy picture.", whole(least=1, most=100)),
        *SOURCE,
    ),
    errors=(406, 429, 502),
    open_query=True,
)

_REQUIRED: Final = tuple(each.name for each in WADO.query if each.required)
_ONCE: Final = frozenset(each.name for each in WADO.query) - {"contentType"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for.

    Parameters
    ----------
    instance
        The instance that is named.
    frame
        The frame that is to be shown.
    accept
        The media types of ``contentType``, or of the Accept header where there is none.
    ranges
        The same, read.
    transfer_syntax
        That the instance is to come in; validated.
    parameters
        How what is shown is to look.
    """

    instance: SopInstance
    frame: int | None
    accept: Accept
    ranges: tuple[MediaRange, ...]
    transfer_syntax: str | None
    parameters: RenderingParameters

    @property
    def shows(self) -> bool:
        """Whether what the instance shows is asked for, rather than the instance: in doubt it is (section 9.1.2)."""
        if self.transfer_syntax is not None:
            return False
        return self._quality(RENDERED_TYPES) > 0 and self._quality(RENDERED_TYPES) >= self._quality((_DICOM,))

    @property
    def takes_instance(self) -> bool:
        """Whether the instance itself would do."""
        return self.transfer_syntax is not None or self._quality((_DICOM,)) > 0

    def _quality(self, offered: Sequence[str]) -> float:
        """Return the quality of the best range for any of ``offered``; nothing is asked for means anything."""
        if not self.ranges:
            return 1.0
        fitting = [
            each.quality
            for each in self.ranges
            for media_type in offered
            if each.media_type.essence in {media_type.lower(), f"{media_type.partition('/')[0]}/*", "*/*"}
        ]
        return max(fitting, default=0.0)


def read_request(call: Call) -> Request:
    """Return what the query of ``call`` asks for.

    Raises
    ------
    BadQueryParameterError
        If a parameter that must be there is not, one is given twice or is malformed, or one asks for what is not done
        here.
    NotAcceptableError
        If ``contentType`` or the Accept header is malformed.
    """
    pairs = call.query()
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _REFUSED:
            raise BadQueryParameterError(f"'{name}' is not done here.")
        if name in given and name in _ONCE:
            raise BadQueryParameterError(f"'{name}' is given more than once.")
        given[name] = f"{given[name]},{value}" if name in given else value
    for name in _REQUIRED:
        if not given.get(name):
            raise BadQueryParameterError(f"'{name}' is required exactly once.")
    if given["requestType"] != "WADO":
        raise BadQueryParameterError("'requestType' must be WADO.")
    accept = Accept(call.request.headers.getlist("accept"), [given["contentType"]] if given.get("contentType") else [])
    try:
        ranges = parse_accept(accept.parameter or accept.header)
    except MalformedMediaTypeError:
        raise NotAcceptableError([_DICOM, *RENDERED_TYPES]) from None
    return Request(
        instance=_instance(given),
        frame=_optional(given, "frameNumber", _frame),
        accept=accept,
        ranges=ranges,
        transfer_syntax=_optional(given, "transferSyntax", _transfer_syntax),
        parameters=RenderingParameters(
            viewport=_viewport(given),
            window=_window(given),
            quality=_optional(given, "imageQuality", lambda value: read_quality(value, name="imageQuality")),
        ),
    )


async def wado(call: Call, request: Request) -> AsgiResponse:
    """Answer ``GET /wado``: decided as the instance that it names."""
    if not request.shows:
        if not request.takes_instance:
            raise NotAcceptableError([_DICOM, *RENDERED_TYPES])
        if request.frame is not None:
            raise BadQueryParameterError("'frameNumber' is for what is shown, not for application/dicom.")
        return await _whole(call, request)
    of = request.instance if request.frame is None else Frames(request.instance, (request.frame,))
    try:
        return await shown(call, of, request.accept, request.parameters)
    except NotAcceptableError:
        if request.frame is not None or not request.takes_instance:
            raise
        return await _whole(call, request)


async def _whole(call: Call, request: Request) -> AsgiResponse:
    syntax = "" if request.transfer_syntax is None else f"; transfer-syntax={request.transfer_syntax}"
    accept = Accept(parameter=[f"{_DICOM}{syntax}"])
    return await retrieve_as(call, request.instance, accept)


def _instance(given: dict[str, str]) -> SopInstance:
    try:
        return SopInstance(
            study_instance_uid(given["studyUID"]),
            series_instance_uid(given["seriesUID"]),
            sop_instance_uid(given["objectUID"]),
        )
    except InvalidIdentifierError:
        raise BadQueryParameterError("'studyUID', 'seriesUID' and 'objectUID' are UIDs.") from None


def _optional(given: dict[str, str], name: str, read: Callable[[str], T]) -> T | None:
    return read(given[name]) if given.get(name) else None


def _frame(value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or not 1 <= int(value[:10]) <= _MOST_FRAME:
        raise BadQueryParameterError("'frameNumber' is a number from 1 on.")
    return int(value)


def _transfer_syntax(value: str) -> str:
    if value == _AS_STORED:
        return value
    try:
        return transfer_syntax_uid(value)
    except InvalidIdentifierError:
        raise BadQueryParameterError("'transferSyntax' is neither a UID nor '*'.") from None


def _viewport(given: dict[str, str]) -> Viewport | None:
    columns = _optional(given, "columns", lambda value: read_side(value, name="columns"))
    rows = _optional(given, "rows", lambda value: read_side(value, name="rows"))
    if columns is None and rows is None:
        return None
    # One side alone: the other one is as long as the proportions make it (PS3.18 section 9.1.2.2).
    return Viewport(columns or _FREE_SIDE, rows or _FREE_SIDE)


def _window(given: dict[str, str]) -> Window | None:
    center, width = given.get("windowCenter"), given.get("windowWidth")
    if not center and not width:
        return None
    if not center or not width:
        raise BadQueryParameterError("'windowCenter' and 'windowWidth' go together.")
    return read_window(center, width)
