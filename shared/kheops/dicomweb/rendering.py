"""Query parameters of rendered resources and thumbnails (PS3.18 section 8.3.5), as typed values and back.

What the caller sent is validated here; what the store is sent is written anew from the values.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kheops.errors import BadQueryParameterError

__all__ = [
    "Annotation",
    "IccProfile",
    "Region",
    "RenderingName",
    "RenderingParameters",
    "Viewport",
    "Window",
    "WindowFunction",
    "read_quality",
    "read_rendering",
    "read_side",
    "read_window",
    "rendering_query",
]

_MOST_SIDE: Final = 10_000
"""Pixels of a side; the Healthcare API renders no larger ones."""
_MOST_ENLARGED: Final = 4096
"""Pixels of a side of a picture that is larger than its source."""
_WHOLE: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,10}(?:\.[0-9]{0,10})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_MOST_QUALITY: Final = 100
_SIZE_FIELDS: Final = 2
_REGION_FIELDS: Final = 6
_WINDOW_FIELDS: Final = 3


class RenderingName(StrEnum):
    """The parameters, by their names in a query."""

    VIEWPORT = "viewport"
    WINDOW = "window"
    QUALITY = "quality"
    ANNOTATION = "annotation"
    ICC_PROFILE = "iccprofile"


class WindowFunction(StrEnum):
    """How values within the window become grey (PS3.3 section C.11.2.1)."""

    LINEAR = "linear"
    LINEAR_EXACT = "linear-exact"
    SIGMOID = "sigmoid"


class Annotation(StrEnum):
    """What is to be written into the image."""

    PATIENT = "patient"
    TECHNIQUE = "technique"


class IccProfile(StrEnum):
    """Which colour profile the image is to have."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the source image, in its pixels."""

    left: int
    top: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size that the image has to fit into, in pixels, and which part of it is shown (``None``: all)."""

    columns: int
    rows: int
    region: Region | None = None

    def fitted(self, *, columns: int, rows: int, enlarging: bool) -> "Viewport":
        """Return the viewport with the proportions of what it shows, so that a store has no margins to fill.

        Parameters
        ----------
        columns, rows
            Of the source image.
        enlarging
            Whether it may become larger than the source.
        """
        if self.region is not None:
            columns, rows = self.region.columns, self.region.rows
        most = max(1.0, _MOST_ENLARGED / max(columns, rows)) if enlarging else 1.0
        factor = min(self.columns / columns, self.rows / rows, most)
        return Viewport(max(1, round(columns * factor)), max(1, round(rows * factor)), self.region)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of values, in those of the image's own rescaled values."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingParameters:
    """What the caller wants of an image; ``None`` and nothing mean that they do not care.

    Parameters
    ----------
    viewport
        Size and part.
    window
        Window of values.
    quality
        1 to 100, for lossy media types.
    annotation
        What is written into it.
    icc_profile
        Its colour profile.
    """

    viewport: Viewport | None = None
    window: Window | None = None
    quality: int | None = None
    annotation: tuple[Annotation, ...] = ()
    icc_profile: IccProfile | None = None

    def named(self) -> frozenset[RenderingName]:
        """Return which of them the caller gave."""
        given = {
            RenderingName.VIEWPORT: self.viewport,
            RenderingName.WINDOW: self.window,
            RenderingName.QUALITY: self.quality,
            RenderingName.ANNOTATION: self.annotation or None,
            RenderingName.ICC_PROFILE: self.icc_profile,
        }
        return frozenset(name for name, value in given.items() if value is not None)


def read_rendering(pairs: Iterable[tuple[str, str]]) -> RenderingParameters:
    """Return the parameters of a decoded query; others are passed over.

    Raises
    ------
    BadQueryParameterError
        If one is malformed, out of its bounds, or given twice.
    """
    given: dict[RenderingName, str] = {}
    names = set(RenderingName)
    for key, value in pairs:
        if key not in names:
            continue
        name = RenderingName(key)
        if name in given:
            raise BadQueryParameterError(f"'{name}' is given more than once.")
        given[name] = value
    return RenderingParameters(
        viewport=_viewport(given[RenderingName.VIEWPORT]) if RenderingName.VIEWPORT in given else None,
        window=_window(given[RenderingName.WINDOW]) if RenderingName.WINDOW in given else None,
        quality=read_quality(given[RenderingName.QUALITY]) if RenderingName.QUALITY in given else None,
        annotation=_annotation(given.get(RenderingName.ANNOTATION)),
        icc_profile=_icc_profile(given.get(RenderingName.ICC_PROFILE)),
    )


def rendering_query(parameters: RenderingParameters, known: frozenset[RenderingName]) -> str:
    """Return the query string, with its question mark, for a store that knows the parameters ``known``."""
    written: dict[RenderingName, str] = {}
    if parameters.viewport is not None:
        viewport = parameters.viewport
        region = viewport.region
        numbers = [viewport.columns, viewport.rows]
        if region is not None:
            numbers += [region.left, region.top, region.columns, region.rows]
        written[RenderingName.VIEWPORT] = ",".join(map(str, numbers))
    if parameters.window is not None:
        window = parameters.window
        written[RenderingName.WINDOW] = f"{window.center:.12g},{window.width:.12g},{window.function}"
    if parameters.quality is not None:
        written[RenderingName.QUALITY] = str(parameters.quality)
    if parameters.annotation:
        written[RenderingName.ANNOTATION] = ",".join(parameters.annotation)
    if parameters.icc_profile is not None:
        written[RenderingName.ICC_PROFILE] = parameters.icc_profile
    query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in written.items() if name in known)
    return f"?{query}" if query else ""


def read_side(text: str, *, name: str) -> int:
    """Return a number of pixels; raise `BadQueryParameterError` if it is none between 1 and 10,000."""
    if _WHOLE.fullmatch(text) is None or not 1 <= int(text) <= _MOST_SIDE:
        raise BadQueryParameterError(f"'{name}' takes sizes from 1 to {_MOST_SIDE} pixels.")
    return int(text)


def read_quality(text: str, *, name: str = RenderingName.QUALITY) -> int:
    """Return a quality; raise `BadQueryParameterError` if it is none between 1 and 100."""
    if _WHOLE.fullmatch(text) is None or not 1 <= int(text) <= _MOST_QUALITY:
        raise BadQueryParameterError(f"'{name}' lies between 1 and {_MOST_QUALITY}.")
    return int(text)


def read_window(center: str, width: str, function: WindowFunction = WindowFunction.LINEAR) -> Window:
    """Return a window of two decimal numbers.

    Raises
    ------
    BadQueryParameterError
        If one is no decimal number, or the width is not larger than zero (for ``linear``: less than one).
    """
    if _DECIMAL.fullmatch(center) is None or _DECIMAL.fullmatch(width) is None:
        raise BadQueryParameterError("A window has a decimal center and width.")
    least = 1.0 if function is WindowFunction.LINEAR else 0.0
    window = Window(float(center), float(width), function)
    if window.width < least or window.width <= 0:
        raise BadQueryParameterError("The width of the window is too small.")
    return window


def _viewport(text: str) -> Viewport:
    fields = text.split(",")
    if len(fields) not in {_SIZE_FIELDS, _REGION_FIELDS}:
        raise BadQueryParameterError("'viewport' is columns,rows, or these and left,top,columns,rows of the source.")
    columns, rows = (read_side(field, name="viewport") for field in fields[:_SIZE_FIELDS])
    if len(fields) == _SIZE_FIELDS:
        return Viewport(columns, rows)
    left, top, width, height = fields[_SIZE_FIELDS:]
    if not all(_WHOLE.fullmatch(field or "0") for field in (left, top)):
        raise BadQueryParameterError("A region of 'viewport' is of whole pixels, and not flipped.")
    region = Region(
        int(left or 0), int(top or 0), read_side(width, name="viewport"), read_side(height, name="viewport")
    )
    return Viewport(columns, rows, region)


def _window(text: str) -> Window:
    fields = text.split(",")
    if len(fields) not in {_WINDOW_FIELDS - 1, _WINDOW_FIELDS}:
        raise BadQueryParameterError("'window' is center,width,function.")
    try:
        function = WindowFunction(fields[-1]) if len(fields) == _WINDOW_FIELDS else WindowFunction.LINEAR
    except ValueError:
        raise BadQueryParameterError("The function of 'window' is linear, linear-exact or sigmoid.") from None
    return read_window(fields[0], fields[1], function)


def _annotation(text: str | None) -> tuple[Annotation, ...]:
    if text is None:
        return ()
    try:
        return tuple(dict.fromkeys(Annotation(field) for field in text.split(",")))
    except ValueError:
        raise BadQueryParameterError("'annotation' is a list of patient and technique.") from None


def _icc_profile(text: str | None) -> IccProfile | None:
    if text is None:
        return None
    try:
        return IccProfile(text)
    except ValueError:
        raise BadQueryParameterError("'iccprofile' is no, yes, srgb, adobergb or rommrgb.") from None
