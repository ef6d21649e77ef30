"""The emulator's log stays empty for what is no fault of the emulator."""

import io
import time
from pathlib import Path

import pytest

from tests.contract.archive.objects import Stored, stored_object
from tests.contract.archive.real_stores import emulator
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post

LARGE = 40_000_000


def _large(item: Stored) -> bytes:
    dataset = item.dataset
    dataset.PixelData = bytes(LARGE)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize("accept", ["application/dicom; transfer-syntax=*", "*/*"], ids=["single", "multipart"])
def test_reader_that_leaves_leaves_no_word(tmp_path: Path, accept: str) -> None:
    item = stored_object("CT_small.dcm")
    with emulator(tmp_path) as running, new_client(running) as client:
        assert post(client, _large(item)).status_code == 200
        begun = len((tmp_path / "log").read_text("utf-8"))
        for _ in range(5):
            with client.stream("GET", instance_path(item), headers={"Accept": accept}) as answer:
                assert answer.status_code == 200
                assert len(next(answer.iter_raw())) < LARGE
        time.sleep(0.5)
        assert client.get("/studies").status_code == 200
    # Its log is written out at its end only.
    assert (tmp_path / "log").read_text("utf-8")[begun:] == ""


def test_odd_character_set_leaves_no_word(tmp_path: Path) -> None:
    item = stored_object("CT_small.dcm")
    odd = item.body.replace(b"ISO_IR 100", b"FOO_BAR   ").replace(b"CompressedSamples", b"Compr\xe9ssedSamples")
    assert odd != item.body
    with emulator(tmp_path) as running, new_client(running) as client:
        begun = len((tmp_path / "log").read_text("utf-8"))
        assert post(client, odd).status_code == 200
        assert client.get(f"{instance_path(item)}/metadata").status_code == 200
    assert (tmp_path / "log").read_text("utf-8")[begun:] == ""
