"""A report provider over HTTP, for tests: a real server with its configuration and keys, and what is done with it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from kheops.ids import AlbumPk
from tests.fakes.jwks_server import FakeIssuer, SigningKey
from tests.service.control.exchange import known
from tests.service.control.served import PUBLIC_URL, Served, environment, serve
from tests.service.control.world import World

__all__ = [
    "ASSERTION_TYPE",
    "PROVIDER_KEY",
    "Body",
    "Provider",
    "Run",
    "Scene",
    "allow",
    "fragment_of",
    "runner",
    "scene",
]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PROVIDER_KEY = SigningKey("provider", number=7)
_DOCUMENT = "/.well-known/openid-configuration"
"""Where the fake that stands for a provider has a document that tests can change."""


def allow(monkeypatch: pytest.MonkeyPatch, url: str, issuer: FakeIssuer, provider: FakeIssuer) -> None:
    """Set the services' variables, with the provider among what may be fetched from."""
    environment(monkeypatch, url, issuer)
    monkeypatch.setenv("KHEOPS_OUTBOUND_ALLOWED", provider.issuer.removeprefix("http://"))


@dataclass
class Provider:
    """A report provider, registered or not."""

    fake: FakeIssuer
    client_id: str = ""

    @property
    def url(self) -> str:
        return f"{self.fake.issuer}{_DOCUMENT}"

    @property
    def redirect_uri(self) -> str:
        return f"{self.fake.issuer}/report?lang=en"

    def configure(self, **changes: object) -> None:
        """Publish a configuration with a code; a change to ``None`` takes a member away."""
        self.fake.publish(PROVIDER_KEY)
        self.fake.mode = "up"
        document = {
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "RS256",
            "jwks_uri": f"{self.fake.issuer}/jwks",
            "client_name": "Reports",
            **changes,
        }
        self.fake.metadata = {name: value for name, value in document.items() if value is not None}

    def assertion(self, key: SigningKey = PROVIDER_KEY, endpoint: str = "/api/token", **changes: object) -> str:
        """Return a fresh assertion of the client for an endpoint."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": f"{PUBLIC_URL}{endpoint}",
            "jti": f"jti-{time.monotonic_ns()}",
            "exp": now + 60,
            **changes,
        }
        return key.sign({name: value for name, value in claims.items() if value is not None})

    def form(self, code: str, **changes: str) -> dict[str, str]:
        """Return the form of an exchange of a code."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": changes.pop("client_assertion", None) or self.assertion(),
            **changes,
        }


@dataclass
class Scene:
    """An album of Alice's with Bob in it, a provider of it, two series of one study in it, and one that is not."""

    served: Served
    provider: Provider
    album: str
    key: AlbumPk
    study: str
    series: tuple[str, str]
    hidden: str

    async def report(self, by: str = "bob", *studies: str, token: str | None = None, **form: str) -> httpx.Response:
        pairs = [
            ("access_token", self.served.token(by) if token is None else token),
            ("client_id", form.pop("client_id", self.provider.client_id)),
            *(("studyUID", study) for study in studies or (self.study,)),
            *form.items(),
        ]
        return await self.served.api.post(
            "/api/report",
            content=urlencode(pairs),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

    async def code(self, by: str = "bob", *studies: str, **form: str) -> str:
        answer = await self.report(by, *studies, **form)
        assert answer.status_code == 303, answer.text
        return str(parse_qs(urlsplit(answer.headers["location"]).query)["code"][0])

    async def exchange(self, code: str, **changes: str) -> httpx.Response:
        return await self.served.call("POST", "/api/token", form=self.provider.form(code, **changes))

    async def token(self, by: str = "bob", *studies: str, **form: str) -> str:
        answer = await self.exchange(await self.code(by, *studies, **form))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def reads(self, token: str) -> list[str] | int:
        """Return the series of the study that a token finds; the status if it is refused."""
        answer = await self.served.call("GET", f"/api/studies/{self.study}/series", token=token)
        if answer.status_code != 200:
            return answer.status_code
        return sorted(row["0020000E"]["Value"][0] for row in answer.json())


async def scene(served: Served, fake: FakeIssuer, album_form: Mapping[str, str] | None = None) -> Scene:
    """Make a scene."""
    await known(served, "alice", "bob", "carol")
    provider = Provider(fake)
    provider.configure()
    made = await served.call("POST", "/api/albums", by="alice", form={"name": "Reports", **(album_form or {})})
    album = made.json()["album_id"]
    assert (await served.call("PUT", f"/api/albums/{album}/users/bob@example.org", by="alice")).status_code == 201
    registered = await served.call(
        "POST",
        f"/api/albums/{album}/reportproviders",
        by="alice",
        form={"name": "Reports", "url": provider.url},
    )
    assert registered.status_code == 201, registered.text
    provider.client_id = registered.json()["client_id"]
    world = served.world
    key = AlbumPk(world.scalar("SELECT pk FROM albums WHERE id = :id", id=album))
    inbox = AlbumPk(world.scalar("SELECT inbox_pk FROM users WHERE sub = 'bob'"))
    one = world.series(key)
    two = world.series(key, study=one.study, modality="SR")
    hidden = world.series(inbox, study=one.study)
    assert one.series is not None
    assert two.series is not None
    assert hidden.series is not None
    return Scene(served, provider, album, key, one.study, (one.series, two.series), hidden.series)


Body = Callable[[Scene], Awaitable[None]]
Run = Callable[[Body], None]


def fragment_of(location: str) -> dict[str, str]:
    """Return what stands in the fragment of an address."""
    return dict(parse_qsl(urlsplit(location).fragment))


def runner(world: World, issuer: FakeIssuer, provider: FakeIssuer) -> Run:
    """Return what runs a test's body on a scene of its own."""

    def run(body: Body) -> None:
        async def inside(served: Served) -> None:
            await body(await scene(served, provider))

        serve(world, issuer, inside)

    return run
