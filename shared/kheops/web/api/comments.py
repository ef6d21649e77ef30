"""``/albums/{album}/comments``."""

from typing import Final

from starlette.responses import Response

from kheops.domain.comments import COMMENT_LENGTH, CommentDraft
from kheops.domain.uses import UseKind
from kheops.web.api.answers import done
from kheops.web.api.parameters import album_of, bounded, form_of
from kheops.web.call import Call
from kheops.web.declaration import DONE, ISSUER, Declaration, Parameter
from kheops.web.schema import text

__all__ = ["COMMENT", "WRITE", "comment_on_album", "draft_of"]

COMMENT: Final = (
    Parameter("comment", "", text(least=1, most=COMMENT_LENGTH), required=True),
    Parameter("to_user", "The one person besides the author who is to see it.", text(least=1)),
    ISSUER,
)
"""The form of a comment."""
WRITE: Final = Declaration("Write a comment on an album", DONE, form=COMMENT)


async def comment_on_album(call: Call) -> Response:
    draft = await draft_of(call)
    album = album_of(call.params["album"])
    await call.process.comments.on_album(call.principal, album, draft, asked=call.use(UseKind.COMMENT_WRITTEN))
    return done()


async def draft_of(call: Call) -> CommentDraft:
    """Read the form of a comment."""
    form = await form_of(call)
    to_user = form.one("to_user")
    # An empty one must not make public what was to be private.
    return CommentDraft(
        bounded("comment", form.required("comment"), most=COMMENT_LENGTH),
        to_user=None if to_user is None else form.required("to_user").strip(),
        issuer=form.one("issuer"),
    )
