"""What needs no credential: probes of the platform, and discovery (RFC 9728)."""

from typing import Final

from starlette.responses import JSONResponse, Response

from kheops.storage.schema import check_schema
from kheops.web.call import Call
from kheops.web.declaration import Answer, Declaration, json_answer
from kheops.web.schema import TEXT, list_of, record

__all__ = [
    "LIVENESS",
    "PROTECTED_RESOURCE",
    "READINESS",
    "liveness",
    "protected_resource",
    "readiness",
]

LIVENESS: Final = Declaration("Tell whether the process lives", {200: Answer("It does.")})
READINESS: Final = Declaration(
    "Tell whether requests can be answered: the database answers and has this version's schema",
    {200: Answer("They can.")},
)
PROTECTED_RESOURCE: Final = Declaration(
    "Read the metadata of the protected resource (RFC 9728)",
    json_answer(
        "The metadata.",
        record(
            {
                "resource": TEXT,
                "authorization_servers": list_of(TEXT),
                "bearer_methods_supported": list_of(TEXT),
            }
        ),
    ),
)


async def liveness(call: Call) -> Response:
    del call
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


async def readiness(call: Call) -> Response:
    await call.process.database.run(check_schema)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


async def protected_resource(call: Call) -> Response:
    settings = call.process.settings
    metadata = {
        "resource": settings.public_url,
        "authorization_servers": [issuer.issuer for issuer in settings.issuers],
        "bearer_methods_supported": ["header"],
    }
    return JSONResponse(metadata, headers={"Cache-Control": "public, max-age=3600"})
