"""Registers people, groups and clients with canaille: ``python -m local.canaille_seed FILE``, a process of its own.

Canaille's own commands do one of these each and take three seconds each. What is there already is brought in step.
"""

import json
import sys
from pathlib import Path
from typing import Any

from canaille import create_app  # type: ignore[import-untyped]
from canaille.app import models  # type: ignore[import-untyped]
from canaille.backends import Backend  # type: ignore[import-untyped]


def main(file: Path) -> None:
    """Register what ``file`` lists, in canaille's configured database."""
    wanted = json.loads(file.read_text("utf-8"))
    app = create_app(init_backend=True)
    with app.app_context():
        Backend.instance.install(app)
        with Backend.instance.session():
            for person in wanted["people"]:
                _save(models.User, {"user_name": person["user_name"]}, _user(person))
            for name in sorted({group for person in wanted["people"] for group in person["groups"]}):
                members = [
                    Backend.instance.get(models.User, user_name=person["user_name"])
                    for person in wanted["people"]
                    if name in person["groups"]
                ]
                _save(models.Group, {"display_name": name}, {"members": members})
            for client in wanted["clients"]:
                saved = _save(models.Client, {"client_id": client["client_id"]}, _client(client))
                # A client can be its own audience only once it exists; without one, the token endpoint fails.
                Backend.instance.update(saved, audience=[saved])
                Backend.instance.save(saved)


def _user(person: dict[str, Any]) -> dict[str, Any]:
    return {
        "given_name": person["given_name"],
        "family_name": person["family_name"],
        "formatted_name": f"{person['given_name']} {person['family_name']}",
        "emails": [person["email"]],
        "password": person["password"],
    }


def _client(client: dict[str, Any]) -> dict[str, Any]:
    return {
        "client_name": client["name"],
        "client_secret": client["client_secret"],
        "redirect_uris": client["redirect_uris"],
        "post_logout_redirect_uris": client["post_logout_redirect_uris"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": ["openid", "profile", "email", "groups"],
        "token_endpoint_auth_method": "client_secret_basic" if client["client_secret"] else "none",
    }


def _save(model: Any, identity: dict[str, Any], values: dict[str, Any]) -> Any:
    record = Backend.instance.get(model, **identity)
    if record is None:
        record = model(**identity, **values)
    else:
        Backend.instance.update(record, **values)
    Backend.instance.save(record)
    return record


if __name__ == "__main__":
    main(Path(sys.argv[1]))
