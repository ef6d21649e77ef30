"""How the tests of people ask."""

import httpx

from tests.service.control.served import Served

__all__ = ["album_of", "as_root", "audited", "in_groups", "known", "series_seen"]


async def known(served: Served, *subs: str) -> None:
    """Let people be known."""
    for sub in subs:
        assert (await served.call("GET", "/api/inboxinfo", by=sub)).status_code == 200


async def as_root(
    served: Served,
    method: str,
    path: str,
    form: dict[str, str] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **claims: object,
) -> httpx.Response:
    """Ask as Root, who administers the installation."""
    token = served.token("root", roles=["root"], **claims)
    return await served.call(method, path, token=token, form=form, headers=headers)


def in_groups(served: Served, sub: str, *groups: str) -> str:
    """Return somebody's token that names groups."""
    return served.token(sub, groups=list(groups), jti=f"jti-{sub}-{'-'.join(groups)}")


async def album_of(served: Served, owner: str, *members: str) -> str:
    """Make an album."""
    await known(served, *members)
    made = await served.call("POST", "/api/albums", by=owner, form={"name": "Hearts"})
    assert made.status_code == 201, made.text
    album: str = made.json()["album_id"]
    for member in members:
        assert (await served.call("PUT", f"/api/albums/{album}/users/{member}", by=owner)).status_code == 201
    return album


async def series_seen(served: Served, token: str, query: str = "") -> set[str]:
    """Return the series that a search finds."""
    answer = await served.call("GET", f"/api/studies{query}", token=token)
    assert answer.status_code == 200, answer.text
    found = set()
    for row in answer.json():
        study = row["0020000D"]["Value"][0]
        below = await served.call("GET", f"/api/studies/{study}/series{query}", token=token)
        found |= {each["0020000E"]["Value"][0] for each in below.json()}
    return found


def audited(served: Served, kind: str) -> list[tuple[str, str | None, str | None]]:
    """Return outcome, subject and reason of the audit rows of a kind, oldest first."""
    sql = "SELECT outcome, subject, reason FROM audit WHERE kind = :kind ORDER BY pk"
    return [(row[0], row[1], row[2]) for row in served.world.rows(sql, kind=kind)]
