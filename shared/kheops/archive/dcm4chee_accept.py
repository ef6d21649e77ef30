"""Accept values for DCM4CHEE, by which it gives pixel data as it was encoded."""

from typing import Final

from kheops.dicomweb.media_ranges import MediaType, parse_accept

__all__ = ["AS_ENCODED", "is_multipart", "takes_any_encoding", "transfer_syntaxes"]

_OCTETS: Final = "application/octet-stream"
_ANY: Final = "*"
_ENCODED: Final = (
    "image/jpeg",
    "image/jls",
    "image/jp2",
    "image/jpx",
    "image/jphc",
    "image/dicom-rle",
    "video/mpeg",
    "video/mp4",
)
AS_ENCODED: Final = ", ".join(
    [*(f'multipart/related; type="{each}"' for each in _ENCODED), f'multipart/related; type="{_OCTETS}"; q=0.1']
)
"""To the archive octets mean decompressed ones; they are what is left where no image type fits."""


def is_multipart(accept: str) -> bool:
    """Return whether an Accept names a multipart type."""
    return any(item.media_type.type == "multipart" for item in parse_accept([accept]))


def transfer_syntaxes(accept: str) -> frozenset[str]:
    """Return the transfer syntaxes that an Accept names, ``*`` among them."""
    named = (item.media_type.parameters.get("transfer-syntax") for item in parse_accept([accept]))
    return frozenset(each for each in named if each is not None)


def takes_any_encoding(accept: str) -> bool:
    """Return whether an Accept takes octets in whatever transfer syntax they are stored."""
    return any(_any_octets(item.media_type) for item in parse_accept([accept]))


def _any_octets(media_type: MediaType) -> bool:
    essence = media_type.essence
    if media_type.type == "multipart":
        essence = media_type.parameters.get("type", _OCTETS)
    return essence in {_OCTETS, "*/*"} and media_type.parameters.get("transfer-syntax", _ANY) == _ANY
