"""The web pages before a real PostgreSQL: browsers that keep cookies, a clock that can be moved, and a fake issuer.

`FakeParty` stands for `kheops.identity.login.RelyingParty`: it checks the state as that does, and its codes are the
names of people who log in. The real one is tested against real issuers in ``tests/system/identity``, and with the
pages in ``test_real_provider.py``.
"""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from starlette.types import ASGIApp

from kheops import factory
from kheops.config import Settings
from kheops.identity.login import AuthorizationResponse, EndSession, LoggedIn, LoginRefusedError, LoginRequest
from kheops.storage.engine import Database, connection_arguments
from tests.service.read.catalog import PEPPER, Catalog

__all__ = ["ISSUER", "ROOT", "Browser", "FakeParty", "MovedClock", "Site"]

T = TypeVar("T")

ROOT = "https://kheops.example"
ISSUER = "https://idp.example"
OTHER_ISSUER = "https://other.example/realm"


class MovedClock:
    """The time, and so much more."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.moved

    def move(self, **by: float) -> None:
        self.moved += timedelta(**by)


class FakeParty:
    """Logs in whoever the code names; offers a logout address unless told otherwise."""

    def __init__(self) -> None:
        self.started = 0
        self.names: Mapping[str, str | None] = {}
        self.end_session_endpoint: str | None = f"{ISSUER}/logout"

    async def start(self, issuer: str, redirect_uri: str) -> LoginRequest:
        self.started += 1
        state = f"state-{self.started}"
        url = f"{issuer}/authorize?state={state}&redirect_uri={quote(redirect_uri, safe='')}"
        return LoginRequest(issuer, redirect_uri, url, state, "a-nonce", "a-verifier")

    async def finish(self, request: LoginRequest, response: AuthorizationResponse) -> LoggedIn:
        assert (request.nonce, request.code_verifier) == ("a-nonce", "a-verifier")
        assert request.redirect_uri.endswith("/callback")
        if response.state != request.state:
            raise LoginRefusedError("state")
        if response.error is not None:
            raise LoginRefusedError("denied")
        assert response.code is not None
        sub = response.code
        return LoggedIn(
            iss=request.issuer,
            sub=sub,
            email=f"{sub}@hospital.example",
            email_verified=True,
            name=self.names.get(sub, sub.title()),
            claims={},
            session=None,
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
            id_token=f"id-token-of-{sub}",
            access_token=None,
        )

    async def end_session(self, issuer: str, *, id_token: str, return_to: str) -> EndSession | None:
        assert issuer == ISSUER
        if self.end_session_endpoint is None:
            return None
        fields = {"id_token_hint": id_token, "post_logout_redirect_uri": return_to}
        return EndSession("post", self.end_session_endpoint, fields)


class Browser:
    """Keeps cookies, sends what a browser sends with its own site's forms, and follows no redirect by itself."""

    def __init__(self, http: httpx.AsyncClient, root: str) -> None:
        self.http = http
        self.root = root

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def post(self, path: str, form: Mapping[str, str], **headers: str | None) -> httpx.Response:
        """Post a form as one of our pages would; a header of ``None`` is left out."""
        sent = {"origin": self.root, "sec_fetch_site": "same-origin", **headers}
        fields = {name.replace("_", "-"): value for name, value in sent.items() if value is not None}
        return await self.http.post(path, data=dict(form), headers=fields)

    async def begin(self, path: str = "/login") -> str:
        """Start a login and return its state."""
        response = await self.get(path)
        assert response.status_code == 303, response.text
        return parse_qs(urlsplit(response.headers["location"]).query)["state"][0]

    async def log_in(self, person: str, path: str = "/login") -> httpx.Response:
        """Log in; return the answer that gave the session."""
        state = await self.begin(path)
        response = await self.get(f"/callback?code={person}&state={state}")
        assert response.status_code == 303, response.text
        return response

    async def is_signed_in(self) -> bool:
        response = await self.get("/studies")
        assert response.status_code in {200, 303}, response.text
        return response.status_code == 200

    async def form_token(self) -> str:
        return form_token_of(await self.get("/token"))

    def cookie(self, name: str = "__Host-kheops") -> str | None:
        return self.http.cookies.get(name)


def form_token_of(response: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]*)"', response.text)
    assert found is not None, response.text
    return html.unescape(found[1])


class Site:
    """The pages, the rows that they show, and the clock and issuer that they trust."""

    def __init__(self, database_url: str, app: ASGIApp, **settings: object) -> None:
        values: dict[str, object] = {
            "public_url": ROOT,
            "database_url": database_url,
            "store_kind": "dicomweb",
            "store_url": "http://127.0.0.1:9/dicom-web",
            "token_pepper": PEPPER,
            "session_key": "a key of the tests, which differs: 42",
            "email_from_userinfo": False,
            "log_level": "error",
            "issuers": [
                {"issuer": ISSUER, "audiences": ["kheops"], "access_token_typ": "at+jwt", "client_id": "web"},
                {"issuer": OTHER_ISSUER, "audiences": ["k"], "access_token_typ": "at+jwt", "client_id": "w"},
                {"issuer": "https://tokens-only.example", "audiences": ["k"], "access_token_typ": "at+jwt"},
            ],
            **settings,
        }
        self.settings = Settings.model_validate(values)
        self.app = app
        self.clock = MovedClock()
        self.fake = FakeParty()
        self._database = Database(connection_arguments(database_url), size=2)
        self.catalog = Catalog(self._database)

    @property
    def process(self) -> factory.Process:
        """The running process."""
        assert factory._shared.opening is not None
        return factory._shared.opening.result()

    def close(self) -> None:
        self._database.close()

    def run(self, use: Callable[[Callable[[], Browser]], Awaitable[T]]) -> T:
        """Call ``use`` with a maker of browsers while the site runs."""

        async def main() -> T:
            process = factory.Process(self.settings, clock=self.clock)
            process.__dict__["relying_party"] = self.fake
            opened: asyncio.Future[factory.Process] = asyncio.get_running_loop().create_future()
            opened.set_result(process)
            factory._shared.opening = opened
            root = self.settings.public_url
            clients = []

            def browser() -> Browser:
                transport = httpx.ASGITransport(app=self.app)
                clients.append(httpx.AsyncClient(transport=transport, base_url=root, trust_env=False))
                return Browser(clients[-1], root)

            try:
                return await use(browser)
            finally:
                for client in clients:
                    await client.aclose()
                await factory.close_process()

        return asyncio.run(main())

    def audited(self, kind: str) -> list[tuple[object, ...]]:
        return self.catalog.rows(
            "SELECT iss, sub, token_id, outcome, reason FROM audit WHERE kind = :kind ORDER BY pk", kind=kind
        )
