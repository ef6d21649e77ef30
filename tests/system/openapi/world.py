"""What the generated requests can run into: albums, series, comments and tokens of people on a running system."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.dicom_files import a_file, new_uid
from tests.system.running import System

__all__ = ["World", "build"]

_OFTEN = 0.8
"""How often a parameter has a value of the world, rather than one that is made up."""
_BINDINGS = {
    **{f"path.{name}": name for name in ("album", "user", "capability", "study", "series", "instance")},
    **{f"path.{name}": name for name in ("link", "invitation", "webhook")},
    "path.frames": "frames",
    **{f"query.{name}": name for name in ("album", "user", "reference", "search", "accept")},
    "query.studyInstanceUID": "study",
    "query.firstseries": "series",
    "body.album": "album",
    "body.source_id": "album",
    "body.studyUID": "study",
    "body.to_user": "user",
    "body.scope": "scope",
    "body.subject_token": "token",
    "body.token": "token",
    "body.access_token": "token",
    "body.secret": "secret",
    "body.email": "email",
    "body.url": "url",
    "body.expiration_time": "time",
}
"""Which dictionary the values of a parameter come from."""
_OPERATIONS = {
    "DELETE /albums/{album}": {"path.album": "doomed album"},
    "POST /capabilities/{capability}/revoke": {"path.capability": "doomed capability"},
    "DELETE /users/{user}": {"path.user": "doomed user"},
    "PUT /users/{user}/suspension": {"path.user": "doomed user"},
}
"""What would end the world for all requests behind it has objects of its own."""


@dataclass(frozen=True, slots=True)
class World:
    """The callers' tokens, and the values that parameters may have."""

    tokens: Mapping[str, str | None]
    values: Mapping[str, tuple[str, ...]]

    def configuration(self) -> str:
        """Return Schemathesis's configuration: where which values are worth trying."""
        lines: list[str] = []
        for name, values in self.values.items():
            lines += [f"[dictionaries.{json.dumps(name)}]", f"values = {json.dumps(values)}"]
        lines.append("[parameters]")
        lines += [_binding(parameter, name) for parameter, name in _BINDINGS.items()]
        for operation, bindings in _OPERATIONS.items():
            lines += ["[[operations]]", f"include-name = {json.dumps(operation)}", "[operations.parameters]"]
            lines += [_binding(parameter, name) for parameter, name in bindings.items()]
        return "\n".join(lines) + "\n"


def _binding(parameter: str, name: str) -> str:
    return f"{json.dumps(parameter)} = {{ dictionary = {json.dumps(name)}, probability = {_OFTEN} }}"


def build(system: System) -> World:
    """Make the world, of new people: Alice has albums and series, some with Bob; both have comments and tokens."""
    names = {who: f"{who}-{secrets.token_hex(4)}" for who in ("alice", "bob", "carol", "doomed")}
    studies: list[str] = []
    series: list[str] = []
    instances: list[str] = []
    with (
        system.client(names["alice"]) as alice,
        system.client(names["bob"]) as bob,
        system.client(names["carol"]) as c,
    ):
        for client in (alice, bob, c):
            assert client.get("/albums").status_code == 200
        albums = [_album(alice, "First"), _album(alice, "Second"), _album(bob, "Bob's")]
        doomed = _album(alice, "Doomed")
        assert alice.put(f"/albums/{albums[0]}/users/{names['bob']}").status_code == 201
        for number in range(6):
            uids = (new_uid(), new_uid(), new_uid())
            for kept, uid in zip((studies, series, instances), uids, strict=True):
                kept.append(uid)
            file = a_file(study=uids[0], series=uids[1], instance=uids[2], patient_name="Xq^Unmistakable")
            owner, album = (names["alice"], None if number % 2 else albums[0]) if number < 4 else (names["bob"], None)
            assert system.store_files(owner, file, album=album).status_code == 200
        for client, study in ((alice, studies[0]), (bob, studies[4])):
            assert client.post(f"/studies/{study}/comments", data={"comment": "Seen."}).status_code == 204
        assert alice.post(f"/albums/{albums[0]}/comments", data={"comment": "Hello."}).status_code == 204
        form = {"title": "read", "scope_type": "album", "album": albums[0], "read_permission": "true"}
        form |= {"write_permission": "true", "appropriate_permission": "true"}
        of_album = alice.post("/capabilities", data=form).json()
        of_person = alice.post(
            "/capabilities", data={**{k: v for k, v in form.items() if k != "album"}, "scope_type": "user"}
        ).json()
        link = _made(alice, "/links", title="Link", album=albums[0])
        invitation = _made(alice, f"/albums/{albums[0]}/invitations", email=f"{names['carol']}.new@example.org")
        webhook = _made(
            alice, f"/albums/{albums[0]}/webhooks", url="https://example.org/", name="Hook", event="new_series"
        )
        doomed_token = alice.post("/capabilities", data=form).json()
        exchange = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": system.tokens[names["alice"]],
            "scope": "viewer read",
            "studyUID": studies[0],
        }
        viewer = alice.post("/token", data=exchange).json()["access_token"]
    with system.client(token=system.token(names["doomed"])) as client:
        assert client.get("/albums").status_code == 200
    tokens = {
        "administrator": system.token(names["carol"], groups=["administrators"]),
        "alice": system.tokens[names["alice"]],
        "capability": of_album["access_token"],
        "person": of_person["access_token"],
        "viewer": viewer,
        "nobody": None,
    }
    system.secrets_used |= {token for token in tokens.values() if token is not None}
    return World(
        tokens=tokens,
        values={
            "album": (*albums, "AAAAAAAAAA"),
            "user": (names["alice"], names["bob"], names["carol"], f"{names['bob']}@example.org", "nobody"),
            "capability": (of_album["id"], of_person["id"]),
            "doomed album": (doomed,),
            "doomed user": (names["doomed"],),
            "link": (str(link["id"]),),
            "invitation": (str(invitation["id"]),),
            "webhook": (str(webhook["id"]),),
            "secret": (str(link["secret"]),),
            "email": ("somebody@example.org",),
            "url": ("https://example.org/",),
            "time": ("2999-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00"),
            "doomed capability": (doomed_token["id"],),
            "accept": ("*/*",),
            "frames": ("1",),
            "study": (*studies, new_uid()),
            "series": (*series, new_uid()),
            "instance": (*instances, new_uid()),
            "reference": (*names.values(), f"{names['bob']}@example.org"),
            "search": ("alice", "bob"),
            "scope": ("viewer", "viewer read", "viewer write", "viewer read write", "pep"),
            "token": tuple(token for token in tokens.values() if token is not None),
        },
    )


def _made(client: httpx.Client, path: str, **form: str) -> Mapping[str, Any]:
    answer = client.post(path, data=form)
    assert answer.status_code == 201, answer.text
    made: Mapping[str, Any] = answer.json()
    return made


def _album(client: httpx.Client, name: str) -> str:
    answer = client.post("/albums", data={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["album_id"])
