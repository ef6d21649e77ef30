"""Settings: the only reader of the environment.

Every setting is a variable ``KHEOPS_*``; ``docs/settings.md`` lists them and a test compares the two. `load` refuses
an unsafe or incomplete configuration and names every fault at once, each by its variable, in plain words.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from kheops.domain.cloud_sql_instance import is_cloud_sql, names_instance
from kheops.domain.mail import Mail
from kheops.domain.secret_references import is_strong, parse_reference
from kheops.domain.secure_url import is_loopback, is_secure_url
from kheops.errors import BadRequestError, ConfigurationError

__all__ = ["IssuerSettings", "RoleRule", "Settings", "load"]

_SAFE_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_TOPIC = re.compile(r"projects/[^/?#]+/topics/[^/?#]+", re.ASCII)
_QUEUE = re.compile(r"https?://[^/?#]+/v2/projects/[^/?#]+/locations/[^/?#]+/queues/[A-Za-z0-9-]+", re.ASCII)


class RoleRule(BaseModel):
    """A role held by whoever presents a claim with a value from an issuer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    claim: str
    value: str


class IssuerSettings(BaseModel):
    """One trusted OpenID Connect issuer, an element of ``KHEOPS_ISSUERS``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(description="The exact `iss` of its tokens.")
    discovery_url: str | None = Field(
        default=None,
        description="Where we reach its discovery document, if not at `{issuer}/.well-known/openid-configuration`.",
    )
    audiences: tuple[str, ...] = Field(description="Accepted values of `aud`; one must be in the token.")
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256", "PS256"), description="Accepted signatures.")
    access_token_typ: str | None = Field(default=None, description="`typ` that only its access tokens have: at+jwt.")
    access_token_claim: str | None = Field(default=None, description="A claim that only its access tokens carry.")
    id_token_claims: tuple[str, ...] = Field(
        default=(),
        description="Claims that each of its ID tokens carries and no access token does; for issuers without either "
        "of the above.",
    )
    email_domains: tuple[str, ...] = Field(
        default=(), description="Domains whose e-mail addresses it may vouch for; `*` means all."
    )
    email_verified: Literal["required", "assumed"] = Field(
        default="required", description="`assumed` trusts its e-mail addresses without `email_verified`."
    )
    groups_claim: str | None = Field(
        default=None,
        min_length=1,
        description="The claim of its access and ID tokens that lists the groups of a person, which may be members of "
        "albums; without one, it has no groups.",
    )
    client_id: str | None = Field(default=None, description="Our client at this issuer, for login in the browser.")
    client_secret: SecretStr | None = Field(default=None, description="Its secret, if the client is confidential.")
    scopes: tuple[str, ...] = Field(default=("openid", "profile", "email"), description="Asked for at login.")
    label: str = Field(default="", description="What the login page calls it.")
    logout: Literal["post", "get"] = Field(
        default="post",
        description="How browsers are sent there to log out: `post` with the ID token in a form, or `get` without it, "
        "upon which the issuer asks.",
    )

    @field_validator("client_secret")
    @classmethod
    def _reference(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_reference(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        faults = []
        if not self.audiences or not all(self.audiences):
            faults.append("audiences must name at least one value, else a token for anybody would do")
        unsafe = [name for name in self.algorithms if name not in _SAFE_ALGORITHMS]
        if unsafe or not self.algorithms:
            faults.append(f"algorithms may be of {', '.join(_SAFE_ALGORITHMS)} only, not {unsafe or 'empty'}")
        if not (self.access_token_typ or self.access_token_claim or self.id_token_claims):
            faults.append(
                "one of access_token_typ, access_token_claim or id_token_claims must say how an access token is told "
                "from an ID token"
            )
        faults.extend(
            f"{name} must be https (http only for loopback)"
            for name, url in (("issuer", self.issuer), ("discovery_url", self.discovery_url))
            if url is not None and not _is_safe_url(url)
        )
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Settings(BaseSettings):
    """All settings of a process. Field descriptions state what a value does."""

    model_config = SettingsConfigDict(env_prefix="KHEOPS_", frozen=True, hide_input_in_errors=True)

    public_url: str = Field(
        description="Where people and viewers reach us: scheme, host, port, no path. Links in answers start with it."
    )
    database_url: SecretStr = Field(
        description="`postgresql://user:password@host:port/name`, or with `?unix_sock=/dir/.s.PGSQL.5432` or "
        "`?cloud_sql=project:region:instance`."
    )
    database_password: SecretStr | None = Field(default=None, description="The password, if the URL has none.")
    database_pool: int = Field(default=4, ge=1, le=64, description="Connections per process for everything but reads.")
    lookup_threads: int = Field(default=4, ge=1, le=64, description="Connections per process for the hot lookup.")
    max_instances: int = Field(default=1, ge=1, description="Processes at most; for the arithmetic of connections.")
    store_kind: Literal["dicomweb", "dcm4chee", "google"] = Field(
        description="Which adapter speaks to the DICOM store."
    )
    store_url: str = Field(
        description="`dicomweb`: the DICOMweb root. `dcm4chee`: that of an application entity that hides what is "
        "rejected, `https://host/dcm4chee-arc/aets/DCM4CHEE/rs`. `google`: the store's URL up to and without "
        "`/dicomWeb`."
    )
    store_user: str | None = Field(
        default=None, description="`dicomweb`, `dcm4chee`: user of HTTP Basic towards the store."
    )
    store_password: SecretStr | None = Field(
        default=None, description="`dicomweb`, `dcm4chee`: password of HTTP Basic."
    )
    orthanc_url: str | None = Field(
        default=None, description="`dicomweb` on Orthanc: root of its own REST API, which deletes."
    )
    store_silence_seconds: float = Field(
        default=60,
        ge=1,
        le=600,
        description="How long the store may send nothing, or take nothing of an upload, before it is given up.",
    )
    store_first_byte_seconds: float = Field(
        default=20,
        ge=1,
        le=600,
        description="How long the store may take to begin an answer with metadata, or to a search or lookup.",
    )
    store_transcodes: bool | None = Field(
        default=None,
        description="Whether the store is asked for another transfer syntax than the stored one. Without it: "
        "`google` is, `dicomweb` is not.",
    )
    streams_per_person: int = Field(
        default=32, ge=1, description="Retrievals of one person that a process has open at once; further ones wait."
    )
    stream_wait_seconds: float = Field(
        default=30, ge=0, le=300, description="How long a retrieval waits for an earlier one to end before it is 429."
    )
    issuers: Annotated[tuple[IssuerSettings, ...], NoDecode] = Field(
        description="JSON list of trusted issuers, or `@/path` of a file with one. The first is the default issuer."
    )
    administrators: Annotated[tuple[RoleRule, ...], NoDecode] = Field(
        default=(),
        description="JSON list of {issuer, claim, value}: who is an administrator of the installation, by the claims "
        "of their access token.",
    )
    token_pepper: SecretStr = Field(description="Key under which our own tokens are hashed; 32 characters at least.")
    session_key: SecretStr = Field(description="Key that signs browser cookies; 32 characters at least.")
    secret_refresh_seconds: float = Field(
        default=300, ge=1, le=86_400, description="How often secrets in files and in Secret Manager are read again."
    )
    secret_overlap_days: int = Field(
        default=366, ge=0, le=3660, description="Days for which a version of a key verifies on beside its successor."
    )
    link_days: int = Field(default=90, ge=1, le=3650, description="Days that a new link may live at most.")
    invitation_days: int = Field(default=14, ge=1, le=365, description="Days that an invitation to an album lives.")
    capability_days: int = Field(
        default=365, ge=1, le=3650, description="Days that a new capability token may live at most."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Comma list of origins whose scripts may call the API (CORS)."
    )
    forwarded_hops: int = Field(
        default=0, ge=0, le=8, description="Proxies before us whose X-Forwarded-For entries are true."
    )
    held_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        description="Bytes of uploads held in memory by the whole process; further uploads wait.",
    )
    compare_uploads: bool = Field(
        default=True,
        description="Whether instances that contradict the study or series on record are refused (0x0106).",
    )
    lease_seconds: float = Field(
        default=90, ge=1, le=3600, description="How long a reservation of an upload lives without being renewed."
    )
    orphan_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Days for which a series that nobody holds any longer is kept for its origin, until it is purged.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    google_project: str | None = Field(
        default=None, pattern=r"^[a-z0-9.:-]{1,100}$", description="Project whose Cloud Trace has the traces of logs."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="Root of the collector that gets traces and metrics by OTLP over HTTP, without `/v1/traces`.",
    )
    trace_ratio: float = Field(default=0.05, ge=0, le=1, description="Share of requests that are traced.")
    shared_series: int = Field(
        default=1000, ge=1, le=4000, description="Series that one call to `/api/shares` may name at most."
    )
    outbound_allowed: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma list of `host:port` that webhooks and report providers may have whatever their address is, "
        "also over plain http; for local use.",
    )
    outbound_plain_http: bool = Field(
        default=False, description="Whether webhooks and report providers may be at public addresses over plain http."
    )
    mail_from: str | None = Field(
        default=None, description="The address that mails come from. Without it, no mail is sent."
    )
    mail_folder: Path | None = Field(
        default=None, description="Write mails into this folder instead of sending them; for local use."
    )
    mail_smtp_host: str | None = Field(default=None, description="Submission server of mails (RFC 6409).")
    mail_smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    mail_smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is encrypted; `none` only on loopback."
    )
    mail_smtp_user: str | None = Field(default=None, description="User of the submission server.")
    mail_smtp_password: SecretStr | None = Field(default=None, description="Password of that user.")
    digest_seconds: int = Field(
        default=86_400, ge=60, le=2_592_000, description="From one mail about what is new to somebody's next."
    )
    email_from_userinfo: bool = Field(
        default=True, description="Ask the issuer's userinfo endpoint for name and e-mail at somebody's first sight."
    )

    store_topic: str | None = Field(
        default=None,
        description="`google`: the topic, `projects/P/topics/T`, that `kheops migrate` has the store tell of all "
        "changes.",
    )
    delivery_queue: str | None = Field(
        default=None,
        description="The queue of Cloud Tasks that has `events` called when something of the outbox is due: "
        "`https://cloudtasks.googleapis.com/v2/projects/P/locations/L/queues/Q`.",
    )
    events_audience: str | None = Field(
        default=None,
        min_length=1,
        description="`aud` of the tokens by which Google's services call `events`: its own URL.",
    )
    events_senders: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Comma list of e-mail addresses of the service accounts that may call `events`."
    )
    events_issuer: str = Field(
        default="https://accounts.google.com", description="`iss` of those tokens; another one only for tests."
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments (tests) and the environment, nothing else."""
        del settings_cls
        return init_settings, env_settings

    @field_validator("issuers", "administrators", mode="before")
    @classmethod
    def _json_list(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value
        if value.startswith("@"):
            try:
                text = Path(value[1:]).read_text("utf-8")
            except OSError as error:
                raise ValueError(f"the file cannot be read: {error.strerror}") from None
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from None

    @field_validator("allowed_origins", "outbound_allowed", "events_senders", mode="before")
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("events_issuer")
    @classmethod
    def _events_issuer(cls, value: str) -> str:
        if not _is_safe_url(value):
            raise ValueError("must be https (http only for loopback)")
        return value

    @field_validator("store_topic")
    @classmethod
    def _store_topic(cls, value: str | None) -> str | None:
        if value is not None and _TOPIC.fullmatch(value) is None:
            raise ValueError("must look like projects/P/topics/T")
        return value

    @field_validator("delivery_queue")
    @classmethod
    def _delivery_queue(cls, value: str | None) -> str | None:
        if value is not None and (not _is_safe_url(value) or _QUEUE.fullmatch(value) is None):
            raise ValueError(
                "must look like https://cloudtasks.googleapis.com/v2/projects/P/locations/L/queues/Q (http only for "
                "loopback)"
            )
        return value

    @field_validator("public_url", "store_url", "orthanc_url", "otlp_endpoint")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _is_safe_url(value):
            raise ValueError("must be an https URL without user, query or fragment (http only for loopback)")
        return value.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _no_path(cls, value: str) -> str:
        if urlsplit(value).path not in {"", "/"}:
            raise ValueError("must have no path")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if (
                parts.scheme not in {"http", "https"}
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is no origin: scheme, host and port only, and never `*`")
        return value

    @field_validator("outbound_allowed")
    @classmethod
    def _destinations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not _is_destination(each):
                raise ValueError(f"{each!r} is no host:port")
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Mail(recipient=value, subject="-", text="-")
            except BadRequestError:
                raise ValueError("must be one e-mail address, without a name") from None
        return value

    @field_validator("token_pepper", "session_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if parse_reference(secret) is None and not is_strong(secret):
            raise ValueError("must be random and at least 32 characters long")
        return value

    @field_validator("database_password", "store_password", "mail_smtp_password")
    @classmethod
    def _reference(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_reference(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme != "postgresql" or not parts.path.strip("/"):
            raise ValueError("must look like postgresql://user:password@host:port/name")
        if is_cloud_sql(parts.query) and (not names_instance(parts.query) or parts.hostname or not parts.username):
            raise ValueError(
                "must look like postgresql://user@/name?cloud_sql=project:region:instance, with &ip_type=private, "
                "public or psc where it is not private"
            )
        return value

    @field_validator("issuers")
    @classmethod
    def _some_issuer(cls, value: tuple[IssuerSettings, ...]) -> tuple[IssuerSettings, ...]:
        if not value:
            raise ValueError("must name at least one issuer, else nobody could log in")
        names = [issuer.issuer for issuer in value]
        if len(set(names)) != len(names):
            raise ValueError("names an issuer twice")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        faults = []
        if (self.store_user is None) != (self.store_password is None):
            faults.append("KHEOPS_STORE_USER and KHEOPS_STORE_PASSWORD must be given together")
        if self.store_kind == "google" and self.store_user is not None:
            faults.append("KHEOPS_STORE_USER does not go with KHEOPS_STORE_KIND=google, which uses a service account")
        if self.store_kind != "google" and self.store_topic is not None:
            faults.append("KHEOPS_STORE_TOPIC goes with KHEOPS_STORE_KIND=google only")
        if self.token_pepper.get_secret_value() == self.session_key.get_secret_value():
            faults.append("KHEOPS_TOKEN_PEPPER and KHEOPS_SESSION_KEY must differ")
        known = {issuer.issuer for issuer in self.issuers}
        faults.extend(
            f"KHEOPS_ADMINISTRATORS names {rule.issuer!r}, which is not in KHEOPS_ISSUERS"
            for rule in self.administrators
            if rule.issuer not in known
        )
        if self.database_password is not None and urlsplit(self.database_url.get_secret_value()).password is not None:
            faults.append("KHEOPS_DATABASE_PASSWORD must be left out, or the password in KHEOPS_DATABASE_URL")
        if (self.events_audience is None) != (not self.events_senders):
            faults.append("KHEOPS_EVENTS_AUDIENCE and KHEOPS_EVENTS_SENDERS must be given together")
        faults.extend(self._faults_of_mail())
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _faults_of_mail(self) -> list[str]:
        faults = []
        ways = [way for way in (self.mail_folder, self.mail_smtp_host) if way is not None]
        if self.mail_from is not None and len(ways) != 1:
            faults.append("KHEOPS_MAIL_FROM needs one of KHEOPS_MAIL_SMTP_HOST and KHEOPS_MAIL_FOLDER")
        if self.mail_from is None and ways:
            faults.append("KHEOPS_MAIL_SMTP_HOST and KHEOPS_MAIL_FOLDER need KHEOPS_MAIL_FROM")
        if (self.mail_smtp_user is None) != (self.mail_smtp_password is None):
            faults.append("KHEOPS_MAIL_SMTP_USER and KHEOPS_MAIL_SMTP_PASSWORD must be given together")
        if self.mail_smtp_tls == "none" and self.mail_smtp_host is not None and not is_loopback(self.mail_smtp_host):
            faults.append("KHEOPS_MAIL_SMTP_TLS=none would send mails in the clear: only on loopback")
        return faults

    @property
    def default_issuer(self) -> IssuerSettings:
        """The issuer that a bare ``sub`` in a KHEOPS route means."""
        return self.issuers[0]


def load() -> Settings:
    """Return the settings of the environment.

    Raises
    ------
    ConfigurationError
        If anything is missing, malformed or unsafe; all faults at once.
    """
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        raise ConfigurationError([_fault(dict(item)) for item in error.errors(include_input=False)]) from None


def _fault(item: dict[str, Any]) -> str:
    location = item["loc"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    variable = f"KHEOPS_{str(location[0]).upper()}"
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:])
    if item["type"] == "missing" and not inner:
        return f"{variable} is not set."
    return f"{variable}{inner}: {message}"


def _is_safe_url(url: str) -> bool:
    return is_secure_url(url) and not urlsplit(url).query


def _is_destination(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return bool(parts.hostname and parts.port) and text == parts.netloc and "@" not in text
    except ValueError:
        return False
