"""Pictures that we scale ourselves: thumbnails, and what a store cannot scale.

Only pictures that a store rendered come here. They are bounded before they are decoded: in bytes, in pixels, and in
how many are decoded at once, each in a thread.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Final

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.rendering import Viewport
from kheops.errors import ArchiveProtocolError, NotAcceptableError

__all__ = ["HeldPicture", "Pictures"]

_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_PIXELS: Final = 25_000_000
"""Of a picture that is decoded; 75 MB in memory."""
_AT_ONCE: Final = 2
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}


class HeldPicture:
    """An `ArchiveStream` of bytes in memory."""

    status = 200
    content_range: str | None = None

    def __init__(self, body: bytes, content_type: str) -> None:
        self._body = body
        self.content_type = content_type
        self.content_length: int | None = len(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once."""
        yield self._body

    def abort(self) -> None:
        """Have nothing to close."""


class Pictures:
    """Scales pictures, a few at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def scaled(
        self,
        source: ArchiveStream,
        viewport: Viewport,
        *,
        media_type: str,
        quality: int,
        enlarging: bool,
        available: list[str],
    ) -> HeldPicture:
        """Return a picture of the store, cut and scaled to fit.

        Parameters
        ----------
        source
            The store's picture; it is read to its end or aborted.
        viewport
            What it has to fit into, and the region to show if the store has not cut it out.
        media_type
            Of the result: ``image/jpeg`` or ``image/png``.
        quality
            Of a JPEG, 1 to 100.
        enlarging
            Whether it may become larger.
        available
            What a refusal says that there is.

        Raises
        ------
        NotAcceptableError
            If the picture has more than 16 MiB or 25 million pixels, or its region lies outside it.
        ArchiveProtocolError
            If the store sent no picture.
        ArchiveUnavailableError
            If its answer ends early.
        """
        try:
            async with self._places:
                body = await _read(source)
                if body is None:
                    raise NotAcceptableError(available)
                made = await asyncio.to_thread(
                    _scaled, body, viewport, media_type=media_type, quality=quality, enlarging=enlarging
                )
        finally:
            source.abort()
        if made is None:
            raise NotAcceptableError(available)
        return HeldPicture(made, media_type)


async def _read(source: ArchiveStream) -> bytes | None:
    """Return the body, ``None`` if it is too long."""
    held = bytearray()
    async for chunk in source.chunks():
        held += chunk
        if len(held) > _MOST_BYTES:
            return None
    return bytes(held)


def _scaled(body: bytes, viewport: Viewport, *, media_type: str, quality: int, enlarging: bool) -> bytes | None:
    """Return the picture scaled; ``None`` if it is too large to be decoded, or does not have the region."""
    from PIL import Image  # only few processes ever scale one

    # The size is looked at below, before anything is decoded; Pillow's own limit is four times as large and a warning.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(body), formats=tuple(_FORMATS.values())) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            picture: Image.Image = opened
            if viewport.region is None:
                # A JPEG is decoded at an eighth, a quarter or half of its size where that is enough.
                opened.draft("RGB" if opened.mode == "RGB" else opened.mode, (viewport.columns, viewport.rows))
            picture.load()
            if picture.mode not in {"L", "RGB"}:
                picture = picture.convert("RGB")
            region = viewport.region
            if region is not None:
                right, bottom = region.left + region.columns, region.top + region.rows
                if right > picture.width or bottom > picture.height:
                    return None
                picture = picture.crop((region.left, region.top, right, bottom))
            whole = Viewport(viewport.columns, viewport.rows)
            size = whole.fitted(columns=picture.width, rows=picture.height, enlarging=enlarging)
            if (size.columns, size.rows) != picture.size:
                picture = picture.resize((size.columns, size.rows), Image.Resampling.LANCZOS)
            # A new picture, so that nothing of the store's metadata goes out with it.
            clean = Image.new(picture.mode, picture.size)
            clean.paste(picture)
    except (OSError, SyntaxError, ValueError):
        raise ArchiveProtocolError("the store sent something that is no picture") from None
    made = io.BytesIO()
    clean.save(made, _FORMATS[media_type], quality=quality)
    return made.getvalue()
