"""Rendered resources and thumbnails (PS3.18 section 10.4.1.1)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from kheops.dicomweb.media_types import Accept
from kheops.dicomweb.renderable import Renderable
from kheops.dicomweb.rendering import Annotation, IccProfile, RenderingName, RenderingParameters, read_rendering
from kheops.dicomweb.resources import Frames, Rendered, Series, SopInstance, Study, Thumbnail
from kheops.domain.uses import UseKind
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Answer, Declaration, Parameter
from kheops.web.dicomweb.reading import ACCEPT, ANSWER_HEADERS, SOURCE, accept, asked
from kheops.web.pixels import streamed
from kheops.web.schema import ANYTHING, text, whole

__all__ = ["RENDERED", "RENDERED_TYPES", "THUMBNAIL", "retrieve_rendered", "retrieve_thumbnail", "shown"]

RENDERED_TYPES: Final = tuple(dict.fromkeys(name for each in Renderable for name in each.media_types))
"""Media types that something here is rendered as."""
_SEVERAL: Final = "multipart/related"
_VIEWPORT: Final = Parameter(
    RenderingName.VIEWPORT,
    "The size to fit into, and the region of the source that is shown: columns,rows[,left,top,columns,rows].",
    text(pattern=r"^[1-9][0-9]{0,3},[1-9][0-9]{0,3}(,[0-9]{0,4},[0-9]{0,4},[1-9][0-9]{0,3},[1-9][0-9]{0,3})?$"),
)
_WINDOW: Final = Parameter(
    RenderingName.WINDOW,
    "Center, width and function (linear, linear-exact, sigmoid) of the window of values.",
    text(pattern=r"^-?[0-9]{1,6},[1-9][0-9]{0,5},(linear|linear-exact|sigmoid)$"),
)
_QUALITY: Final = Parameter(RenderingName.QUALITY, "Of a lossy picture.", whole(least=1, most=100))
_ANNOTATION: Final = Parameter(RenderingName.ANNOTATION, "What is written into it.", {"enum": list(Annotation)})
_ICC_PROFILE: Final = Parameter(RenderingName.ICC_PROFILE, "Its colour profile.", {"enum": list(IccProfile)})

RENDERED: Final = Declaration(
    "Retrieve what an object shows",
    {200: Answer("A picture, a document or a video.", dict.fromkeys((*RENDERED_TYPES, _SEVERAL), ANYTHING))},
    query=(*SOURCE, ACCEPT, _VIEWPORT, _WINDOW, _QUALITY, _ANNOTATION, _ICC_PROFILE),
    errors=(406, 429, 502),
    open_query=True,
)
THUMBNAIL: Final = Declaration(
    "Retrieve a small picture of an object",
    {200: Answer("A small JPEG.", {"image/jpeg": ANYTHING})},
    query=(*SOURCE, ACCEPT, _VIEWPORT),
    errors=(406, 429, 502),
    open_query=True,
)


async def retrieve_rendered(call: Call, resource: Rendered) -> AsgiResponse:
    """Answer ``GET .../rendered``."""
    return await shown(call, resource.of, accept(call), read_rendering(call.query()))


async def retrieve_thumbnail(call: Call, resource: Thumbnail) -> AsgiResponse:
    """Answer ``GET .../thumbnail``."""
    rendering = call.process.rendering
    viewport = read_rendering(pair for pair in call.query() if pair[0] == RenderingName.VIEWPORT).viewport
    asking = asked(call, UseKind.READ_PIXELS)
    return await streamed(
        call,
        partial(rendering.thumbnail, asking, resource.of, accept(call), viewport),
        headers=list(ANSWER_HEADERS),
    )


async def shown(
    call: Call, of: Study | Series | SopInstance | Frames, accepted: Accept, parameters: RenderingParameters
) -> AsgiResponse:
    """Answer with what an object shows.

    Parameters
    ----------
    call
        The request.
    of
        The object.
    accepted
        What the caller accepts.
    parameters
        How it is to look. Those that nobody can apply are named in ``Warning`` (PS3.18 section 8.3.4).
    """
    rendering = call.process.rendering
    asking = asked(call, UseKind.READ_PIXELS)
    return await streamed(
        call,
        partial(rendering.rendered, asking, of, accepted, parameters),
        headers=[*ANSWER_HEADERS, *_warning(rendering.ignored(parameters))],
    )


def _warning(ignored: Sequence[RenderingName]) -> list[tuple[bytes, bytes]]:
    if not ignored:
        return []
    return [(b"warning", f'299 kheops "Not applied: {", ".join(ignored)}"'.encode())]
