"""Viewer tokens over HTTP, for tests."""

import httpx

from kheops.ids import AlbumPk
from tests.service.control.served import Served

__all__ = ["ACCESS_TOKEN", "EXCHANGE", "capability", "exchange", "form_of", "inbox", "known", "studies", "viewer_of"]

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def form_of(subject: str, study: str = "1.2.3", **more: str) -> dict[str, str]:
    return {
        "grant_type": EXCHANGE,
        "scope": "viewer read",
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "studyUID": study,
        **more,
    }


async def exchange(served: Served, subject: str, study: str = "1.2.3", **more: str) -> httpx.Response:
    return await served.call("POST", "/api/token", form=form_of(subject, study, **more))


async def viewer_of(served: Served, subject: str, study: str, **more: str) -> str:
    answer = await exchange(served, subject, study, **more)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def known(served: Served, *subs: str) -> None:
    for sub in subs:
        assert (await served.call("GET", "/api/inboxinfo", by=sub)).status_code == 200


def inbox(served: Served, sub: str) -> AlbumPk:
    return AlbumPk(served.world.scalar("SELECT inbox_pk FROM users WHERE sub = :sub", sub=sub))


async def capability(served: Served, by: str, **form: str) -> tuple[str, str]:
    """Return the secret and the public id of a new capability token."""
    wanted = {"title": "t", "scope_type": "user", "read_permission": "true", **form}
    made = (await served.call("POST", "/api/capabilities", by=by, form=wanted)).json()
    return made["access_token"], made["id"]


async def studies(served: Served, token: str, query: str = "") -> list[str]:
    answer = await served.call("GET", f"/api/studies{query}", token=token)
    assert answer.status_code == 200, answer.text
    return [row["0020000D"]["Value"][0] for row in answer.json()]
