"""Whether ``local/compose.yaml`` agrees with the code, the realm, the Dockerfile, and with itself."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema_rs
from pydantic import ValidationError

from kheops.config import Settings
from local.compose_secrets import NAMES
from local.keycloak import ADMINISTRATOR, REALM, VERSION, Keycloak, KeycloakSecrets, people_of_the_realm, start_options
from local.provider import ADMINISTRATORS, Client
from local.stack import SCRIPT_REDIRECT
from tests.infra.terraform import INFRA, ROOT
from tests.local.compose_expected import (
    ARCHIVE_PORT,
    CONDITIONS,
    DEPENDS,
    DEVICE,
    IMAGES,
    KEPT,
    NETWORKS,
    OHIF,
    OHIF_DICOMWEB,
    OHIF_SOURCE,
    ONCE,
    OURS,
    PROFILES,
    SHARED_LOOPBACK,
    VOLUMES,
)
from tests.local.compose_file import LOCAL, interpolated

__all__ = ["OTHER_PORTS", "faults"]

OTHER_PORTS: Final = {"KHEOPS_PORT": "18100", "KHEOPS_IDP_PORT": "18101", "KHEOPS_VIEWER_PORT": "18102"}
_DEFAULT_PORTS: Final = {"KHEOPS_PORT": "8000", "KHEOPS_IDP_PORT": "8001", "KHEOPS_VIEWER_PORT": "8002"}

_SCHEMA: Final = jsonschema_rs.Draft7Validator(
    json.loads((LOCAL / "compose-spec" / "compose-spec.json").read_text("utf-8"))
)
_REALM: Final = json.loads((LOCAL / "keycloak" / "realm.json").read_text("utf-8"))
_SIZE: Final = re.compile(r"[0-9]+[mg]")
_DURATION: Final = re.compile(r"[0-9]+s")
_CONFIGURATION_TARGET: Final = "/usr/share/nginx/html/app-config.js"


def faults(document: dict[str, Any]) -> list[str]:
    """Return in what the file disagrees; nothing if it is as it should be."""
    found = [f"schema: {error.message}" for error in _SCHEMA.iter_errors(document)]
    for ports in (_DEFAULT_PORTS, OTHER_PORTS):
        environment = {} if ports is _DEFAULT_PORTS else ports
        try:
            checked = _Checked(interpolated(document, environment), ports)
            found += [fault for check in _CHECKS for fault in check(checked)]
        except (KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


class _Checked:
    """The file with its variables replaced, and the ports that it has to publish."""

    def __init__(self, document: dict[str, Any], ports: Mapping[str, str]) -> None:
        self.document = document
        self.services: dict[str, dict[str, Any]] = document["services"]
        self.ours = f"http://127.0.0.1:{ports['KHEOPS_PORT']}"
        self.idp = f"http://127.0.0.1:{ports['KHEOPS_IDP_PORT']}"
        self.viewer = f"http://127.0.0.1:{ports['KHEOPS_VIEWER_PORT']}"
        self.port, self.idp_port, self.viewer_port = ports.values()

    def part(self, service: str, name: str) -> Any:
        return self.services[service][name]


def _same(what: str, found: Any, expected: Any) -> Iterator[str]:
    if found != expected:
        yield f"{what} is {found!r}, not {expected!r}"


def _of_each(file: _Checked, part: str, expected: Mapping[str, Any]) -> Iterator[str]:
    found = {name: service[part] for name, service in file.services.items() if part in service}
    yield from _same(part, found, dict(expected))


def _outline(file: _Checked) -> Iterator[str]:
    yield from _same("name", file.document["name"], "kheops")
    yield from _of_each(file, "profiles", PROFILES)
    started = (LOCAL / ".env").read_text("utf-8").splitlines()[-1]
    profiles = {profile for each in PROFILES.values() for profile in each}
    yield from _same(".env", set(started.removeprefix("COMPOSE_PROFILES=").split(",")), profiles)
    yield from _of_each(file, "network_mode", _modes())
    yield from _of_each(file, "networks", NETWORKS)
    yield from _same("networks", file.document["networks"], {"outside": {}, "archive": {"internal": True}})
    published = {
        "loopback": [f"127.0.0.1:{port}:{port}" for port in (file.port, file.idp_port)],
        "viewer": [f"127.0.0.1:{file.viewer_port}:80"],
    }
    yield from _of_each(file, "ports", published)
    depends = {name: {other: CONDITIONS[how] for other, how in others.items()} for name, others in DEPENDS.items()}
    found = {
        name: {other: how["condition"] for other, how in service["depends_on"].items()}
        for name, service in file.services.items()
        if "depends_on" in service
    }
    yield from _same("depends_on", found, depends)
    for name, service in file.services.items():
        yield from _same(f"{name}.restart", service["restart"], "no" if name in ONCE else "unless-stopped")
        if "mem_limit" in service and _SIZE.fullmatch(service["mem_limit"]) is None:
            yield f"{name}.mem_limit is no size"
    for name, others in found.items():
        for other in others:
            together = set(PROFILES[name]) <= set(PROFILES[other])
            needed = file.part(name, "depends_on")[other].get("required", True)
            yield from _same(f"whether {name} needs {other}", needed, together)


def _modes() -> dict[str, str]:
    return {"secrets": "none", **dict.fromkeys(SHARED_LOOPBACK, "service:loopback")}


def _images(file: _Checked) -> Iterator[str]:
    images = {name: str(service["image"]) for name, service in file.services.items()}
    ours = {name for name, image in images.items() if image == OURS}
    yield from _same("our services", ours, {"secrets", "migrate", "kheops", "welcome"})
    yield from _of_each(file, "build", {"secrets": {"context": "..", "dockerfile": "Dockerfile"}})
    yield from _same("Dockerfile", (ROOT / "Dockerfile").is_file(), expected=True)
    version = re.search(r'database_version = "POSTGRES_([0-9]+)"', (INFRA / "database.tf").read_text("utf-8"))
    postgres = rf"postgres:{version[1] if version else '?'}\.[0-9]+-bookworm"
    for name in ("postgres", "loopback"):
        if re.fullmatch(postgres, images[name]) is None:
            yield f"{name}.image is {images[name]}, and Terraform's is PostgreSQL {version}"
    yield from _same("keycloak.image", images["keycloak"], f"quay.io/keycloak/keycloak:{VERSION}")
    for name, image in IMAGES.items():
        yield from _same(f"{name}.image", images[name], image)


def _confinement(file: _Checked) -> Iterator[str]:
    confined = {"loopback", "secrets", "migrate", "kheops", "welcome"}
    yield from _of_each(file, "read_only", dict.fromkeys(confined, True))
    yield from _of_each(file, "cap_drop", {name: ["ALL"] for name in confined})
    yield from _of_each(file, "security_opt", {name: ["no-new-privileges:true"] for name in confined})
    yield from _of_each(file, "tmpfs", {"kheops": ["/tmp"]})
    # A new volume belongs to root.
    yield from _of_each(file, "user", {"loopback": "65534:65534", "secrets": "0:0"})


def _volumes(file: _Checked) -> Iterator[str]:
    yield from _of_each(file, "volumes", VOLUMES)
    used = {each.partition(":")[0] for volumes in VOLUMES.values() for each in volumes}
    yield from _same("volumes", set(file.document["volumes"]), {each for each in used if not each.startswith(".")})
    for each in used:
        if each.startswith(".") and not (LOCAL / each).exists():
            yield f"{each} is not there"


def _commands(file: _Checked) -> Iterator[str]:
    (image,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    server = [*json.loads(image)[:-1], "local.gateway:app"]
    server[server.index("--port") + 1] = file.port
    welcome = ["python", "-m", "local.compose_welcome", file.ours, "--viewer", file.viewer]
    keycloak = ["start", *start_options(address=file.idp, host="0.0.0.0", port=int(file.idp_port))]
    commands = {
        "secrets": ["python", "-m", "local.compose_secrets", KEPT],
        "postgres": ["postgres", "-c", "listen_addresses=127.0.0.1"],
        "migrate": ["kheops", "migrate"],
        "kheops": server,
        "welcome": welcome,
        "keycloak": keycloak,
    }
    yield from _of_each(file, "command", commands)
    yield from _of_each(file, "working_dir", dict.fromkeys(("secrets", "kheops", "welcome"), "/app"))
    for module in ("compose_secrets", "compose_welcome", "gateway"):
        yield from _same(module, (LOCAL / f"{module}.py").is_file(), expected=True)
    secrets = {
        "KHEOPS_CLIENT_SECRET": "web-client",
        "KHEOPS_SERVICE_SECRET": "service-client",
        "KC_BOOTSTRAP_ADMIN_PASSWORD": "keycloak",
    }
    exported = " ".join(f'{name}="$(<{KEPT}/{secret})"' for name, secret in secrets.items())
    script = f'export {exported}; exec /opt/keycloak/bin/kc.sh "$@"'
    entrypoints = {"loopback": ["sleep", "infinity"], "keycloak": ["bash", "-c", script, "kc.sh"]}
    yield from _of_each(file, "entrypoint", entrypoints)
    unknown = set(secrets.values()) - set(NAMES)
    if unknown:
        yield f"no secret is called {unknown}"


def _environment(file: _Checked) -> Iterator[str]:
    archive_db = {"POSTGRES_DB": "pacsdb", "POSTGRES_USER": "pacs", "POSTGRES_PASSWORD": "pacs"}
    settings = _settings(file)
    expected = {
        "postgres": {
            "POSTGRES_DB": "kheops",
            "POSTGRES_USER": "kheops",
            "POSTGRES_PASSWORD_FILE": f"{KEPT}/postgres",
        },
        "migrate": settings,
        "kheops": settings,
        "keycloak": {
            "KC_DB": "dev-file",
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR,
            "KHEOPS_PUBLIC_URL": file.ours,
            "KHEOPS_VIEWER_URL": file.viewer,
            "KHEOPS_SCRIPT_REDIRECT": SCRIPT_REDIRECT,
        },
        "ldap": {"STORAGE_DIR": "/storage/fs1"},
        "archive-db": {**archive_db, "PGDATA": "/var/lib/postgresql/data"},
        "dcm4chee": {
            **archive_db,
            "POSTGRES_HOST": "archive-db",
            "LDAP_URL": "ldap://ldap:389",
            "WILDFLY_WAIT_FOR": "ldap:389 archive-db:5432",
            "WILDFLY_CHOWN": "/storage",
            "WILDFLY_DEPLOY_UI": "false",
            "WILDFLY_PACSDS_USE_CCM": "false",
            "REVERSE_DNS": "false",
        },
    }
    found = {
        name: {key: _parsed(value) for key, value in service["environment"].items()}
        for name, service in file.services.items()
        if "environment" in service
    }
    yield from _same("environment", found, expected)
    wanted = set(re.findall(r"\$\{([A-Z_]+)\}", json.dumps(_REALM)))
    script = file.part("keycloak", "entrypoint")[2]
    given = set(expected["keycloak"]) | set(re.findall(r"([A-Z_]+)=", script))
    if wanted - given:
        yield f"the realm is filled in with {wanted - given}, which Keycloak does not get"
    yield from _accepted(file.part("kheops", "environment"))


def _settings(file: _Checked) -> dict[str, Any]:
    client = Client("kheops-web", "KHEOPS", (), client_secret=f"file:{KEPT}/web-client")
    provider = Keycloak(file.idp, people_of_the_realm(), KeycloakSecrets("", ""))
    return {
        "KHEOPS_PUBLIC_URL": file.ours,
        "KHEOPS_DATABASE_URL": "postgresql://kheops@127.0.0.1:5432/kheops",
        "KHEOPS_DATABASE_PASSWORD": f"file:{KEPT}/postgres",
        "KHEOPS_STORE_KIND": "dcm4chee",
        "KHEOPS_STORE_URL": f"http://127.0.0.1:{ARCHIVE_PORT}/dcm4chee-arc/aets/DCM4CHEE/rs",
        "KHEOPS_ISSUERS": [provider.issuer_settings(client)],
        "KHEOPS_ADMINISTRATORS": [{"issuer": provider.issuer, "claim": "groups", "value": ADMINISTRATORS}],
        "KHEOPS_TOKEN_PEPPER": f"file:{KEPT}/token-pepper",
        "KHEOPS_SESSION_KEY": f"file:{KEPT}/session-key",
        "KHEOPS_ALLOWED_ORIGINS": file.viewer,
    }


def _parsed(value: str) -> Any:
    return json.loads(value) if value.startswith("[") else value


def _accepted(environment: Mapping[str, str]) -> Iterator[str]:
    """Tell what `kheops.config` says of the settings."""
    values = {name.removeprefix("KHEOPS_").lower(): value for name, value in environment.items()}
    unknown = set(values) - set(Settings.model_fields)
    if unknown:
        yield f"there are no settings {unknown}"
    try:
        Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        yield f"the settings are refused: {error}"
    for value in values.values():
        kept = re.fullmatch(rf"file:{KEPT}/(.*)", value)
        if kept is not None and kept[1] not in NAMES:
            yield f"no secret is called {kept[1]}"


def _health(file: _Checked) -> Iterator[str]:
    well_known = f"/realms/{REALM}/.well-known/openid-configuration"
    asking = rf"GET {well_known} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    tests = {
        "postgres": ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "kheops", "-d", "kheops"],
        "kheops": [
            *("CMD", "python", "-c"),
            f"import urllib.request; urllib.request.urlopen('{file.ours}/api/readiness', timeout=4)",
        ],
        "keycloak": [
            *("CMD", "bash", "-c"),
            (
                f"exec 3<>/dev/tcp/127.0.0.1/{file.idp_port} && printf '{asking}' >&3 && "
                "read -r status <&3 && [[ $status == *' 200 '* ]]"
            ),
        ],
        "ldap": [
            *("CMD", "ldapsearch", "-x", "-H", "ldap://localhost", "-D", "cn=admin,dc=dcm4che,dc=org", "-w", "secret"),
            *("-s", "base", "-b", DEVICE, "dn"),
        ],
        "archive-db": ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "pacs", "-d", "pacsdb"],
        "dcm4chee": [
            "CMD-SHELL",
            f"curl -fsS http://127.0.0.1:{ARCHIVE_PORT}/dcm4chee-arc/ctrl/status | grep -q STARTED",
        ],
    }
    found = {name: service["healthcheck"] for name, service in file.services.items() if "healthcheck" in service}
    yield from _same("healthcheck", {name: each["test"] for name, each in found.items()}, tests)
    waited = [each[key] for each in found.values() for key in ("interval", "timeout", "start_period")]
    waited += [service["stop_grace_period"] for service in file.services.values() if "stop_grace_period" in service]
    if any(_DURATION.fullmatch(each) is None for each in waited):
        yield "a duration is none"
    needed = {other for others in DEPENDS.values() for other, how in others.items() if how == "healthy"}
    yield from _same("services with a healthcheck", set(found), needed | {"ldap", "archive-db"})


def _viewer(file: _Checked) -> Iterator[str]:
    yield from _of_each(file, "configs", {"viewer": [{"source": "viewer", "target": _CONFIGURATION_TARGET}]})
    (content,) = (each["content"] for name, each in file.document["configs"].items() if name == "viewer")
    match = re.fullmatch(r"window\.config = (\{.*\});\s*", content, re.DOTALL)
    if match is None:
        yield "the viewer's configuration is no assignment"
        return
    (client,) = (each for each in _REALM["clients"] if each["clientId"] == "kheops-viewer")
    filled_in = json.loads(json.dumps(client).replace("${KHEOPS_VIEWER_URL}", file.viewer))
    configuration = json.loads(match[1])
    (login,) = configuration["oidc"]
    (source,) = configuration["dataSources"]
    if f"{file.viewer}{login['redirect_uri']}" not in filled_in["redirectUris"]:
        yield "the realm sends nobody back to the viewer"
    afterwards = filled_in["attributes"]["post.logout.redirect.uris"]
    yield from _same("after logout", file.viewer + login["post_logout_redirect_uri"], afterwards)
    yield from _same("origin", filled_in["webOrigins"], [file.viewer])
    asked = {**login, "redirect_uri": "", "post_logout_redirect_uri": ""}
    expected = {
        "authority": f"{file.idp}/realms/{REALM}",
        "client_id": filled_in["clientId"],
        "redirect_uri": "",
        "post_logout_redirect_uri": "",
        "response_type": "code",
        "scope": " ".join(_settings(file)["KHEOPS_ISSUERS"][0]["scopes"]),
        "automaticSilentRenew": True,
    }
    yield from _same("login", asked, expected)
    yield from _same("the rest of the configuration", {**configuration, "oidc": [], "dataSources": []}, OHIF)
    ours = {"qidoRoot": f"{file.ours}/api", "wadoRoot": f"{file.ours}/api"}
    yield from _same("data source", source, {**OHIF_SOURCE, "configuration": {**OHIF_DICOMWEB, **ours}})
    yield from _same("allowed origin", urlsplit(file.part("kheops", "environment")["KHEOPS_ALLOWED_ORIGINS"]).path, "")


_CHECKS: Final[tuple[Callable[[_Checked], Iterator[str]], ...]] = (
    _outline,
    _images,
    _confinement,
    _volumes,
    _commands,
    _environment,
    _health,
    _viewer,
)
