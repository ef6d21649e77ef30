"""``/verifyInstance``, which KHEOPS's own upload asks before it stores."""

from typing import Final

from starlette.responses import Response

from kheops.domain.resources import SeriesRef
from kheops.domain.uses import UseKind
from kheops.errors import BadFormParameterError, InvalidIdentifierError
from kheops.ids import series_instance_uid, study_instance_uid
from kheops.web.api.answers import json_of
from kheops.web.api.parameters import form_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import Declaration, Parameter, json_answer
from kheops.web.schema import FLAG, TEXT, UID, record

__all__ = ["VERIFY", "verify"]

_ATTRIBUTES: Final = (
    "studyDate",
    "studyTime",
    "studyDescription",
    # So spelled in KHEOPS.
    "timzoneOffsetFromUtc",
    "accessionNumber",
    "referringPhysicianName",
    "patientName",
    "patientId",
    "patientBirthDate",
    "patientSex",
    "studyId",
    "modality",
    "seriesDescription",
    "seriesNumber",
    "bodyPartExamined",
)

VERIFY: Final = Declaration(
    "Ask whether a series may be added to; nothing is reserved by it",
    json_answer("Whether it may.", record({"is_valid": FLAG, "has_series_add_access": FLAG}, {"reason": TEXT})),
    query=(Parameter("skipVerify", "Of no effect."),),
    form=(
        Parameter("studyInstanceUID", "", UID, required=True),
        Parameter("seriesInstanceUID", "", UID, required=True),
        *(Parameter(name, "Of no effect: attributes are not compared.") for name in _ATTRIBUTES),
    ),
    errors=(429,),
)


async def verify(call: Call) -> Response:
    query_of(call)
    form = await form_of(call)
    try:
        study = study_instance_uid(form.required("studyInstanceUID"))
        ref = SeriesRef(study, series_instance_uid(form.required("seriesInstanceUID")))
    except InvalidIdentifierError:
        raise BadFormParameterError("'studyInstanceUID' and 'seriesInstanceUID' must be DICOM UIDs.") from None
    allowed = await call.process.verification.may_add(call.principal, ref, asked=call.use(UseKind.STORE))
    reason = None if allowed else "The series cannot be added to."
    return json_of({"is_valid": allowed, "has_series_add_access": allowed, "reason": reason})
