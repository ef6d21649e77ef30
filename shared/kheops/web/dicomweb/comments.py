"""``/studies/{study}/comments``."""

from typing import Final

from starlette.responses import Response

from kheops.dicomweb.resources import Comments
from kheops.domain.uses import UseKind
from kheops.services.reading import Asked
from kheops.web.api.answers import done, listed
from kheops.web.api.comments import COMMENT as COMMENT_FORM
from kheops.web.api.comments import draft_of
from kheops.web.api.history import COMMENT, comment_json
from kheops.web.api.parameters import query_of
from kheops.web.call import Call
from kheops.web.declaration import DONE, PAGING, Declaration, listed_answer

__all__ = ["LIST", "WRITE", "comment_on_study", "list_comments"]

LIST: Final = Declaration(
    "List the comments on a study that the caller may read", listed_answer("The comments.", COMMENT), query=PAGING
)
WRITE: Final = Declaration("Write a comment on a study", DONE, form=COMMENT_FORM)


async def list_comments(call: Call, resource: Comments) -> Response:
    """Answer ``GET /studies/{S}/comments``."""
    page = query_of(call).page()
    study = resource.study.study_instance_uid
    found, total = await call.process.comments.of_study(call.principal, study, page)
    asked = Asked(call.principal, call.use(UseKind.COMMENT_READ))
    await call.process.audit.record(asked.use_of(studies=(study,)))
    return listed([comment_json(each) for each in found], total)


async def comment_on_study(call: Call, resource: Comments) -> Response:
    """Answer ``POST /studies/{S}/comments``."""
    query_of(call)
    draft = await draft_of(call)
    await call.process.comments.on_study(
        call.principal, resource.study.study_instance_uid, draft, asked=call.use(UseKind.COMMENT_WRITTEN)
    )
    return done()
