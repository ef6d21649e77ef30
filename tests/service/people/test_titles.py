"""What people call things is quoted by mails and pages, and turns none of the words around it."""

import pytest

from tests.service.control.served import Served
from tests.service.people.asking import album_of
from tests.service.people.conftest import Run

TOKEN = {"scope_type": "user", "read_permission": "true"}
HOOK = {"url": "https://hooks.example/", "event": "new_series"}


@pytest.mark.parametrize("control", ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2069"])
def test_controls_of_writing_direction_are_refused_in_names_and_titles(run: Run, control: str) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        for method, path, name, others in (
            ("POST", "/api/albums", "name", {}),
            ("PATCH", f"/api/albums/{album}", "name", {}),
            ("POST", "/api/capabilities", "title", TOKEN),
            ("POST", "/api/links", "title", {"album": album}),
            ("POST", f"/api/albums/{album}/webhooks", "name", HOOK),
            ("POST", f"/api/albums/{album}/reportproviders", "name", {"url": "https://reports.example/"}),
        ):
            form = {**others, name: f"x{control}y"}
            answer = await served.call(method, path, by="alice", form=form)
            assert answer.status_code == 400, path
            assert f"'{name}' must not hold control characters of writing direction" in answer.json()["detail"]

    run(body)


def test_names_from_right_to_left_are_kept(run: Run) -> None:
    async def body(served: Served) -> None:
        name = "\u05dc\u05d1 \u200f(\u0642\u0644\u0628)"
        made = await served.call("POST", "/api/albums", by="alice", form={"name": name})
        assert (made.status_code, made.json()["name"]) == (201, name)

    run(body)
