"""``/legalholds``: series that must not be deleted for good, kept by administrators. KHEOPS has none of it."""

from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.responses import Response

from kheops.domain.uses import UseKind
from kheops.errors import BadRequestError, InvalidIdentifierError, RouteNotFoundError
from kheops.ids import SeriesInstanceUID, series_instance_uid
from kheops.storage.legal_hold import HeldSeries
from kheops.web.api.answers import Json, done, listed, zoned_time
from kheops.web.api.parameters import bounded, form_of, query_of
from kheops.web.call import CONTROL_IN_TEXT, Call
from kheops.web.declaration import DONE, PAGING, Declaration, Parameter, listed_answer
from kheops.web.schema import TEXT, UID, record, text

__all__ = ["CLEAR", "LIST", "REASON_LENGTH", "SET", "clear", "list_holds", "put"]

REASON_LENGTH: Final = 500
"""Characters."""
_REASON: Final = Parameter("reason", "Why; it names no patient.", text(least=1, most=REASON_LENGTH), required=True)

LIST: Final = Declaration(
    "List the series on legal hold",
    listed_answer(
        "The series, the oldest hold first.",
        record({"study_uid": UID, "series_uid": UID, "state": TEXT}, {"reason": TEXT, "since": TEXT}),
    ),
    query=PAGING,
)
SET: Final = Declaration("Put a series on legal hold", DONE, form=(_REASON,), errors=(409,))
_CLEARING_REASON: Final = Parameter(
    "Admin-Reason", "Why; it names no patient. UTF-8, percent-encoded where it is not ASCII.", TEXT, required=True
)
CLEAR: Final = Declaration("End the legal hold of a series", DONE, headers=(_CLEARING_REASON,))


async def list_holds(call: Call) -> Response:
    page = query_of(call).page()
    found, total = await call.process.legal_hold.list(call.principal, page)
    return listed([_json(each) for each in found], total)


async def put(call: Call) -> Response:
    query_of(call)
    series = _series(call)
    reason = bounded("reason", (await form_of(call)).required("reason"), most=REASON_LENGTH)
    asked = call.use(UseKind.LEGAL_HOLD_SET)
    await call.process.legal_hold.set(call.principal, series, reason=reason, asked=asked)
    return done()


async def clear(call: Call) -> Response:
    query_of(call)
    reason = _clearing_reason(call)
    asked = call.use(UseKind.LEGAL_HOLD_CLEARED)
    await call.process.legal_hold.clear(call.principal, _series(call), reason=reason, asked=asked)
    return done()


def _clearing_reason(call: Call) -> str:
    # In a header: a body of DELETE means nothing to HTTP (RFC 9110 section 9.3.5), and proxies log query strings.
    values = call.request.headers.getlist("admin-reason")
    try:
        reason = unquote_to_bytes(values[0].encode("latin-1")).decode().strip() if len(values) == 1 else ""
    except UnicodeDecodeError:
        raise BadRequestError("'Admin-Reason' is not percent-encoded UTF-8.") from None
    if not 0 < len(reason) <= REASON_LENGTH or CONTROL_IN_TEXT.search(reason):
        raise BadRequestError(f"The header 'Admin-Reason' is required once, with {REASON_LENGTH} characters at most.")
    return reason


def _series(call: Call) -> SeriesInstanceUID:
    try:
        return series_instance_uid(call.params["series"])
    except InvalidIdentifierError:
        raise RouteNotFoundError from None


def _json(held: HeldSeries) -> Json:
    return {
        "study_uid": held.ref.study_instance_uid,
        "series_uid": held.ref.series_instance_uid,
        "state": held.state.value,
        "reason": held.reason,
        "since": zoned_time(held.since),
    }
