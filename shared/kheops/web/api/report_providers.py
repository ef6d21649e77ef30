"""``/albums/{album}/reportproviders``, ``/reportproviders/metadata``, and what we tell providers of ourselves."""

from typing import Final

from starlette.responses import JSONResponse, Response

from kheops.domain.report_providers import PROVIDER_NAME_LENGTH, PROVIDER_URL_LENGTH, ProviderDraft
from kheops.domain.uses import UseKind
from kheops.ids import report_provider_id
from kheops.services.report_providers import Probe, ProviderRecord
from kheops.web.api.answers import Json, done, json_of, listed, local_time
from kheops.web.api.parameters import album_of, bounded, form_of, query_of, titled
from kheops.web.call import Call
from kheops.web.declaration import DONE, JSON, PAGING, Answer, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import FLAG, TEXT, either, list_of, record, text

__all__ = [
    "CREATE",
    "DESCRIBE",
    "EDIT",
    "GET",
    "LIST",
    "PROBE",
    "REMOVE",
    "create",
    "describe",
    "edit",
    "get",
    "list_providers",
    "probe",
    "remove",
]

_PROVIDER: Final = record(
    {"name": TEXT, "url": TEXT, "client_id": text(pattern="^[A-Za-z0-9]{22}$"), "created_time": TEXT}
)
_NAME: Final = Parameter("name", "What people call it.", text(most=PROVIDER_NAME_LENGTH))
_URL: Final = Parameter("url", "Where its configuration document is.", text(most=PROVIDER_URL_LENGTH))
_DESCRIBED: Final = (
    "client_name",
    "client_uri",
    "logo_uri",
    "scope",
    "tos_uri",
    "policy_uri",
    "software_id",
    "software_version",
    "introspection_endpoint_auth_method",
    "introspection_endpoint_auth_signing_alg",
    "grant_types",
    "contacts",
    "supported_modalities",
    "redirect_uri",
    "response_type",
    "jwks_uri",
    "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg",
    "error_description",
)

CREATE: Final = Declaration(
    "Register a report provider of an album",
    {201: Answer("The provider.", {JSON: _PROVIDER})},
    form=(
        Parameter("name", _NAME.about, text(least=1, most=PROVIDER_NAME_LENGTH), required=True),
        Parameter("url", _URL.about, text(least=1, most=PROVIDER_URL_LENGTH), required=True),
    ),
    errors=(409,),
)
LIST: Final = Declaration(
    "List the report providers of an album", listed_answer("The providers.", _PROVIDER), query=PAGING
)
GET: Final = Declaration("Read a report provider", json_answer("The provider.", _PROVIDER))
EDIT: Final = Declaration(
    "Change a report provider; what is left out or blank stays",
    json_answer("The provider as it is now.", _PROVIDER),
    form=(_NAME, _URL),
)
REMOVE: Final = Declaration("Remove a report provider", DONE)
PROBE: Final = Declaration(
    "Read and check a report provider's configuration document",
    json_answer(
        "What it says, and whether it can be used.",
        record({"valid": FLAG}, {name: either(TEXT, list_of(TEXT)) for name in _DESCRIBED}),
    ),
    form=(Parameter("url", _URL.about, text(least=1, most=PROVIDER_URL_LENGTH), required=True),),
)
_OURS: Final = (
    "issuer",
    "dicomweb_endpoint",
    "dicomweb_uri_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "userinfo_endpoint",
)
_SUPPORTED: Final = {
    "grant_types_supported": ["authorization_code", "implicit"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    "introspection_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
    "introspection_endpoint_auth_signing_alg_values_supported": ["RS256"],
    "response_types_supported": ["code", "token"],
    "response_modes_supported": ["query", "fragment"],
    "code_challenge_methods_supported": ["S256"],
}
DESCRIBE: Final = Declaration(
    "Read what a report provider must know of this service",
    json_answer(
        "The addresses and methods.",
        record({**dict.fromkeys(_OURS, TEXT), **dict.fromkeys(_SUPPORTED, list_of(TEXT))}),
    ),
)


async def create(call: Call) -> Response:
    form = await form_of(call)
    draft = ProviderDraft(
        name=titled("name", form.required("name"), most=PROVIDER_NAME_LENGTH),
        url=bounded("url", form.required("url"), most=PROVIDER_URL_LENGTH),
    )
    use = call.use(UseKind.REPORT_PROVIDER_CREATED)
    album = album_of(call.params["album"])
    return json_of(
        _json(await call.process.report_providers.create(call.principal, album, draft, asked=use)), status=201
    )


async def list_providers(call: Call) -> Response:
    query = query_of(call)
    album = album_of(call.params["album"])
    found, total = await call.process.report_providers.list(call.principal, album, query.page())
    return listed([_json(each) for each in found], total)


async def get(call: Call) -> Response:
    query_of(call)
    provider = report_provider_id(call.params["client"])
    return json_of(
        _json(await call.process.report_providers.get(call.principal, album_of(call.params["album"]), provider))
    )


async def edit(call: Call) -> Response:
    form = await form_of(call)
    name, url = form.one("name"), form.one("url")
    changed = await call.process.report_providers.edit(
        call.principal,
        album_of(call.params["album"]),
        report_provider_id(call.params["client"]),
        name=titled("name", name, most=PROVIDER_NAME_LENGTH) if name is not None and name.strip() else None,
        url=bounded("url", url, most=PROVIDER_URL_LENGTH) if url is not None and url.strip() else None,
        asked=call.use(UseKind.REPORT_PROVIDER_EDITED),
    )
    return json_of(_json(changed))


async def remove(call: Call) -> Response:
    await call.process.report_providers.remove(
        call.principal,
        album_of(call.params["album"]),
        report_provider_id(call.params["client"]),
        asked=call.use(UseKind.REPORT_PROVIDER_REMOVED),
    )
    return done()


async def probe(call: Call) -> Response:
    form = await form_of(call)
    url = bounded("url", form.required("url"), most=PROVIDER_URL_LENGTH)
    return json_of(_probed(await call.process.report_providers.probe(call.principal, url)))


async def describe(call: Call) -> Response:
    root = call.process.settings.public_url
    addresses = (
        root,
        f"{root}/api",
        f"{root}/api/wado",
        f"{root}/api/token",
        f"{root}/api/token/introspect",
        f"{root}/api/userinfo",
    )
    document = {**dict(zip(_OURS, addresses, strict=True)), **_SUPPORTED}
    return JSONResponse(document, headers={"Cache-Control": "public, max-age=3600"})


def _json(provider: ProviderRecord) -> Json:
    return {
        "name": provider.name,
        "url": provider.url,
        "client_id": provider.provider,
        "created_time": local_time(provider.created_at),
    }


def _probed(found: Probe) -> Json:
    configuration = found.configuration
    if configuration is None:
        return {"valid": False, "error_description": found.error}
    by_code = configuration.jwks_uri is not None
    return {
        **configuration.described,
        "redirect_uri": configuration.redirect_uri,
        "response_type": configuration.response_type.value,
        "jwks_uri": configuration.jwks_uri,
        "token_endpoint_auth_method": "private_key_jwt" if by_code else None,
        "token_endpoint_auth_signing_alg": "RS256" if by_code else None,
        "valid": True,
    }
