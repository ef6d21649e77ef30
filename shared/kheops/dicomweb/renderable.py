"""What can be shown of an object by itself: an image, a video, or a document that it holds (PS3.18 section 8.7.4).

Presentation states, key object selections, structured reports and the like show images of *other* objects, which the
caller may not be allowed to see. A store would resolve the references by itself, so it is never asked to render one:
only SOP classes that are listed here, which hold what they show, are rendered at all.
"""

from enum import Enum
from typing import Final

__all__ = ["CLASSES", "IMAGE_TYPES", "Renderable", "renderable"]

IMAGE_TYPES: Final = ("image/jpeg", "image/png")
"""Media types of an image; the first one wins a draw."""

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_VIDEO_CLASSES: Final = frozenset(f"{_STORAGE}77.1.{number}.1" for number in (1, 2, 4))
_PDF_CLASS: Final = f"{_STORAGE}104.1"
_IMAGE_CLASSES: Final = frozenset(
    f"{_STORAGE}{suffix}"
    for suffix in (
        # Computed radiography, digital X-ray, mammography, intra-oral, CT, ultrasound (also retired), MR, colour MR.
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),
        *("2", "2.1", "2.2", "3", "3.1", "4", "4.1", "4.3", "4.4", "5", "6", "6.1", "6.2", "6.3"),
        # Secondary capture.
        *("7", "7.1", "7.2", "7.3", "7.4"),
        # X-ray angiography and fluoroscopy, tomosynthesis, nuclear medicine, parametric map.
        *("12.1", "12.1.1", "12.2", "12.2.1", "12.3", "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5"),
        *("14.1", "14.2", "20", "30"),
        # Visible light, ophthalmology, dermoscopy, slides.
        *("77.1.1", "77.1.2", "77.1.3", "77.1.4", "77.1.6", "77.1.7", "77.1.8", "77.1.9"),
        *("77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.5.5", "77.1.5.6", "77.1.5.7", "77.1.5.8"),
        # Positron emission, radiotherapy image and dose.
        *("128", "128.1", "130", "481.1", "481.2"),
    )
)
CLASSES: Final = (tuple(sorted(_IMAGE_CLASSES)), (*sorted(_VIDEO_CLASSES), _PDF_CLASS))
"""SOP classes that are rendered: images; then videos and documents."""

_PIXEL_DATA: Final = 0x7FE00010
_ENCAPSULATED_DOCUMENT: Final = 0x00420011
_SYNTAX: Final = "1.2.840.10008.1.2.4."
_VIDEO_TYPES: Final = {
    **{f"{_SYNTAX}{number}{fragmentable}": "video/mpeg" for number in (100, 101) for fragmentable in ("", ".1")},
    **{
        f"{_SYNTAX}{number}{fragmentable}": "video/mp4"
        for number in (102, 103, 104, 105, 106)
        for fragmentable in ("", ".1")
    },
    **{f"{_SYNTAX}{number}": "video/H265" for number in (107, 108)},
}


class Renderable(Enum):
    """What an object shows: its media types, and the element whose value is one of them as it is."""

    IMAGE = (IMAGE_TYPES, None)
    MPEG2_VIDEO = (("video/mpeg",), _PIXEL_DATA)
    MPEG4_VIDEO = (("video/mp4",), _PIXEL_DATA)
    HEVC_VIDEO = (("video/H265",), _PIXEL_DATA)
    PDF = (("application/pdf",), _ENCAPSULATED_DOCUMENT)

    def __init__(self, media_types: tuple[str, ...], element: int | None) -> None:
        self.media_types = media_types
        """What it can be had as."""
        self.element = element
        """The element that holds it; ``None`` if the store has to make it from pixels."""


def renderable(*, sop_class_uid: str | None, transfer_syntax_uid: str | None) -> Renderable | None:
    """Return what an object shows by itself; ``None`` if that is nothing, or is not known.

    Parameters
    ----------
    sop_class_uid, transfer_syntax_uid
        As the catalog has them from the object's own bytes; ``None`` where it has not.
    """
    video = _VIDEO_TYPES.get(transfer_syntax_uid or "")
    if sop_class_uid == _PDF_CLASS:
        return Renderable.PDF
    if sop_class_uid in _VIDEO_CLASSES or sop_class_uid in _IMAGE_CLASSES:
        if video is None:
            return Renderable.IMAGE
        return next(each for each in Renderable if each.media_types == (video,))
    return None
