"""What needs no credential: probes of the platform, and discovery (RFC 9728)."""

from starlette.responses import JSONResponse, Response

from kheops.storage.schema import check_schema
from kheops.web.call import Call

__all__ = ["liveness", "protected_resource", "readiness"]


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
