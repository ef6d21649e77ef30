"""What is too large to be fitted into a viewport. Limits are lowered: an object that reaches them is a slow test."""

import asyncio
from pathlib import Path

import pytest
from starlette.types import Message

from local.healthcare_emulator import rendering
from local.healthcare_emulator.calls import Call
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import Shelf
from tests.contract.archive.objects import stored_object


@pytest.mark.parametrize(("name", "limit"), [("_LARGEST_FITTED", 128 * 128), ("_MOST_SIDE", 128)])
def test_large_frame_is_fitted_into_no_viewport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    shelf = Shelf(tmp_path)
    draft = shelf.draft()
    draft.write(stored_object("CT_small.dcm").body)
    identity = shelf.add(draft)
    (row,) = shelf.find(identity.study)

    def rendered(query: bytes) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query}
        asyncio.run(rendering.rendered(Call(scope, receive, send, public_url=None), row, 1))
        return int(sent[0]["status"])

    monkeypatch.setattr(rendering, name, limit)
    assert rendered(b"viewport=64,64") == 200
    monkeypatch.setattr(rendering, name, limit - 1)
    with pytest.raises(GoogleError, match="too large"):
        rendered(b"viewport=64,64")
    assert rendered(b"") == 200
    shelf.close()
