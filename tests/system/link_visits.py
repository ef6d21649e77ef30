"""Links and invitations that a world has, for tests that compare what is seen of it."""

from tests.system.running import System

__all__ = ["invite", "link", "visit"]


def link(system: System, by: str, **form: str | list[str]) -> tuple[str, str]:
    """Make a link, and return its public id and its secret."""
    with system.client(by) as client:
        made = client.post("/links", data={"title": "Xq a link", **form})
    assert made.status_code == 201, made.text
    system.secrets_used.add(made.json()["secret"])
    return made.json()["id"], made.json()["secret"]


def visit(system: System, public_id: str, secret: str) -> str:
    """Open a link, and return the visitor's token."""
    with system.client() as client:
        opened = client.post(f"/links/{public_id}/open", data={"secret": secret})
    assert opened.status_code == 200, opened.text
    token: str = opened.json()["access_token"]
    system.secrets_used.add(token)
    return token


def invite(system: System, by: str, album: str) -> str:
    """Invite somebody who never comes, and return the invitation's public id."""
    with system.client(by) as client:
        made = client.post(f"/albums/{album}/invitations", data={"email": "never@example.org"})
    assert made.status_code == 201, made.text
    public_id: str = made.json()["id"]
    return public_id
